"""The tasks of a model as methods: `transcribe(…)` for `run(Transcribe(…))`, and so on."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .answer import Answer, OnSound, OnText
from .audio import AudioInput
from .prompt.prompts import Language
from .tasks import Ask, Continue, FewShot, Overrides, PreparedTask, Speak, Task, Transcribe

__all__ = ["NamedTasks"]


class NamedTasks(ABC):
    """What can do tasks, and so also by their names."""

    @abstractmethod
    def run(
        self,
        task: Task | PreparedTask,
        *,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
        cancel: threading.Event | None = None,
    ) -> Answer:
        """Do one task and wait for its end."""

    def transcribe(
        self,
        audio: AudioInput,
        *,
        instruction: str | None = None,
        language: Language = "auto",
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """Speech to text. More than 30 s are taken in parts, cut at quiet places.

        Here and wherever else a recording is listened to, the middle of pauses of more than a
        second is left out, at its begin and end too; only `encode` keeps the recording's length.

        Raises:
            MimoEdgeError: the audio cannot be read, or the model does not know the language.
        """
        task = Transcribe(
            audio=audio, instruction=instruction, language=language, overrides=overrides
        )
        return self.run(task, on_text=on_text)

    def speak(
        self,
        text: str,
        *,
        style: str | None = None,
        style_in_text: bool = False,
        voice: AudioInput | NDArray[np.int64] | None = None,
        anyway: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> Answer:
        """Text to speech; see `tasks.Speak`.

        Raises:
            MimoEdgeError: there is no text, or the voice cannot be read.
            NotTrainedError: the checkpoint was not trained for voices or styles; `anyway` tries
                them all the same.
        """
        task = Speak(
            text=text,
            style=style,
            style_in_text=style_in_text,
            voice=voice,
            anyway=anyway,
            overrides=overrides,
        )
        return self.run(task, on_text=on_text, on_sound=on_sound)

    def ask(
        self,
        audio: AudioInput,
        question: str,
        *,
        thinking: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """A question about a recording, answered in text."""
        task = Ask(audio=audio, question=question, thinking=thinking, overrides=overrides)
        return self.run(task, on_text=on_text)

    def few_shot(
        self,
        instruction: str,
        examples: Sequence[tuple[AudioInput, AudioInput, str]],
        audio: AudioInput,
        *,
        anyway: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> Answer:
        """Speech to speech by examples: (input, output, text of the output) each.

        Raises:
            MimoEdgeError: a recording cannot be read.
            NotTrainedError: the checkpoint was not trained for this, as only the base model was;
                `anyway` tries it all the same.
        """
        task = FewShot(
            instruction=instruction,
            examples=examples,
            audio=audio,
            anyway=anyway,
            overrides=overrides,
        )
        return self.run(task, on_text=on_text, on_sound=on_sound)

    def continue_speech(
        self,
        audio: AudioInput,
        *,
        anyway: bool = False,
        overrides: Overrides | None = None,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> Answer:
        """Go on speaking where a recording ends.

        Raises:
            MimoEdgeError: the recording cannot be read.
            NotTrainedError: the checkpoint was not trained for this, as only the base model was;
                `anyway` tries it all the same.
        """
        task = Continue(audio=audio, anyway=anyway, overrides=overrides)
        return self.run(task, on_text=on_text, on_sound=on_sound)
