"""The tasks of a model as methods: `transcribe(…)` for `run(Transcribe(…))`, and so on."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from .answer import Answer, OnSound, OnText
from .audio import AudioInput
from .prompt.prompts import Language
from .tasks import Ask, Continue, FewShot, Overrides, PreparedTask, Speak, Task, Transcribe

if TYPE_CHECKING:  # Python 3.10 has it not yet
    from typing_extensions import Unpack

__all__ = ["NamedTasks"]


class _Written(TypedDict, total=False):
    """How a caller follows an answer in text; as of `run`."""

    on_text: OnText | None
    cancel: threading.Event | None


class _Spoken(_Written, total=False):
    """How a caller follows a spoken answer; as of `run`."""

    on_sound: OnSound | None


class NamedTasks(ABC):
    """What can do tasks, and so also by their names.

    All methods take `on_text` and `cancel` as `run` does, and those that speak `on_sound`.
    """

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
        **following: Unpack[_Written],
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
        return self.run(task, **following)

    def speak(
        self,
        text: str,
        *,
        style: str | None = None,
        style_in_text: bool = False,
        voice: AudioInput | NDArray[np.int64] | None = None,
        anyway: bool = False,
        overrides: Overrides | None = None,
        **following: Unpack[_Spoken],
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
        return self.run(task, **following)

    def ask(
        self,
        audio: AudioInput,
        question: str,
        *,
        thinking: bool = False,
        overrides: Overrides | None = None,
        **following: Unpack[_Written],
    ) -> Answer:
        """A question about a recording, answered in text."""
        task = Ask(audio=audio, question=question, thinking=thinking, overrides=overrides)
        return self.run(task, **following)

    def few_shot(
        self,
        instruction: str,
        examples: Sequence[tuple[AudioInput, AudioInput, str]],
        audio: AudioInput,
        *,
        anyway: bool = False,
        overrides: Overrides | None = None,
        **following: Unpack[_Spoken],
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
        return self.run(task, **following)

    def continue_speech(
        self,
        audio: AudioInput,
        *,
        anyway: bool = False,
        overrides: Overrides | None = None,
        **following: Unpack[_Spoken],
    ) -> Answer:
        """Go on speaking where a recording ends; raises what `few_shot` does."""
        return self.run(Continue(audio=audio, anyway=anyway, overrides=overrides), **following)
