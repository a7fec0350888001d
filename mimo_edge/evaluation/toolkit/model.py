"""The methods that the public toolkit calls, by its names and with its arguments.

They are those of the toolkit's `MimoAudioModel`, and of the class that the release comes with
(`MimoAudio` in `mimo_audio.py`); where the two differ, both ways of calling work.

What is different: text comes back without marks such as `<|eot|>` and without a full stop for every
patch of sound; an answer of the base model may end before the 5 or 10 positions that the toolkit
lets pass first; `asr` and `tts`, which the toolkit calls of other base models, are those of the
instruct model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...answer import Answer
from ...audio import write_audio
from ...model import MimoAudio
from ...prompt.positions import AudioPiece, InterleavedPiece, Piece, TextPiece, to_patches
from ...prompt.prompts import Exchange, Reply
from ...prompt.text_tokenizer import Template
from ...stages.machine.runtime_options import RuntimeOptions
from ...tasks import Overrides, PreparedTask, Speak, Task, converse, task
from ..forms import (
    LONGEST_SPEECH,
    LONGEST_TEXT,
    THINK_BRIEFLY,
    continuation,
    question_task,
    transcript_task,
)
from . import inputs

__all__ = ["ToolkitModel"]

_Path = str | PathLike[str] | None
_Messages = Sequence[Mapping[str, Any]]


class ToolkitModel:
    """A bundle with the methods that the public toolkit calls. Close it at the end.

    Recordings are names of files, or samples at 24 kHz: arrays or tensors [n] or [1, n]. Speech is
    written as a WAV file at 24 kHz; an answer without speech as a second of silence.
    """

    def __init__(
        self,
        bundle: str | Path | MimoAudio | None = None,
        tokenizer_path: str | None = None,
        device: Any = None,
        *,
        options: RuntimeOptions | None = None,
        overrides: Overrides | None = None,
    ) -> None:
        """Load the bundle in a folder, or take a model that is loaded already.

        `tokenizer_path` and `device` are not used: a bundle holds its tokenizer.

        Raises:
            MimoEdgeError: the bundle does not load.
        """
        del tokenizer_path, device
        self.model = bundle if isinstance(bundle, MimoAudio) else MimoAudio.load(bundle, options)
        self._overrides = overrides or Overrides()
        self._turns: list[Exchange] = []
        """What `add_history` goes on with."""

    def asr_sft(self, audio: Any, lang: str = "zh") -> str:
        """What is said in a recording."""
        prepared = transcript_task(
            self.model.manifest,
            self._listen(audio),
            "zh" if lang == "zh" else "en",
            instruction=None,
            overrides=self._overrides,
        )
        return _text(self._run(prepared))

    def asr(self, audio: Any) -> str:
        """What is said in a recording, asked in English."""
        return self.asr_sft(audio, "en")

    def tts_sft(
        self,
        text: str,
        output_path: _Path,
        instruct: str | None = None,
        read_text_only: bool = True,
        prompt_speech: Any = None,
    ) -> str:
        """Speak a text into a file, in a style and a voice if they are given; returns the text."""
        # The toolkit's prompt has a voice only together with a style.
        voiced = prompt_speech is not None and (instruct is not None or not read_text_only)
        speak = Speak(
            text=text,
            style=instruct if read_text_only else None,
            style_in_text=not read_text_only,
            voice=self._listen(prompt_speech) if voiced else None,
            anyway=True,
            overrides=self._overrides,
        )
        return _text(self._speak(speak, output_path))

    def tts(self, text: str, output_path: _Path) -> str:
        """Speak a text into a file."""
        return self.tts_sft(text, output_path)

    def audio_understanding_sft(
        self, input_speech: Any, input_text: str, thinking: bool = False
    ) -> str:
        """The answer to a question about a recording, behind what was thought and `</think>`."""
        question = input_text + (THINK_BRIEFLY if thinking else "")
        pieces: list[Piece] = [AudioPiece(self._listen(input_speech)), TextPiece((question,))]
        prepared = question_task(
            pieces, thinking=thinking, overrides=self._overrides, adds_sentence=False
        )
        return _text(self._run(prepared))

    def instruction_following(
        self,
        instructions: _Messages,
        append_generation_prompt: bool = True,
        thinking: bool = False,
    ) -> str:
        """The answer to a text in which `<sound>` stands for recordings."""
        del append_generation_prompt  # without one there is nothing to be answered
        pieces = inputs.instruction_pieces(instructions, self._listen)
        return _text(self._run(question_task(pieces, thinking=thinking, overrides=self._overrides)))

    def spoken_dialogue_sft(
        self,
        input_speech: Any,
        output_audio_path: _Path = None,
        system_prompt: str | None = None,
        prompt_speech: Any = None,
        add_history: bool = False,
        assistant_character: str | None = None,
        assistant_style: str | None = None,
    ) -> str:
        """Answer speech with speech, which goes into a file if one is named; returns its text."""
        del assistant_character, assistant_style  # in no prompt of the toolkit's either
        turns = self._go_on(self._listen(input_speech), add_history)
        prepared = converse(
            turns,
            "speech",
            system=system_prompt,
            voice=self._voice(prompt_speech),
            overrides=self._overrides,
        )
        answer = self._speak(prepared, output_audio_path)
        patches = to_patches(answer.codes, self.model.manifest.patch)
        said = InterleavedPiece(answer.text, patches) if len(patches) else answer.text
        self._turns = [*turns[:-1], Exchange(request=turns[-1].request, answer=said)]
        return _text(answer)

    def spoken_dialogue_sft_multiturn(
        self,
        messages: _Messages,
        text_dialogue: _Messages | _Path = None,
        output_audio_path: _Path = None,
        prompt_speech: Any = None,
        system_prompt: str | None = None,
        **unused: Any,
    ) -> str:
        """The next answer of a conversation in speech; see `inputs.conversation_of`."""
        if isinstance(text_dialogue, (str, PathLike)):  # the release's second argument
            text_dialogue, output_audio_path = None, text_dialogue
        turns = inputs.conversation_of(messages, text_dialogue, self._listen, spoken=True)
        prepared = converse(
            turns,
            "speech",
            system=system_prompt,
            voice=self._voice(prompt_speech),
            overrides=self._overrides,
        )
        return _text(self._speak(prepared, output_audio_path))

    def speech2text_dialogue_sft(
        self, input_speech: Any, thinking: bool = False, add_history: bool = False
    ) -> str:
        """Answer speech in text."""
        return self._write(self._listen(input_speech), thinking, add_history)

    def speech2text_dialogue_sft_multiturn(
        self,
        messages: _Messages,
        text_dialogue: _Messages | None = None,
        thinking: bool = False,
        **unused: Any,
    ) -> str:
        """The next answer in text of a conversation in which the user speaks."""
        turns = inputs.conversation_of(messages, text_dialogue, self._listen, spoken=False)
        return _text(self._run(converse(turns, _reply(thinking), overrides=self._overrides)))

    def text_dialogue_sft(
        self, input_text: str, thinking: bool = False, add_history: bool = False
    ) -> str:
        """Answer text in text."""
        return self._write(input_text, thinking, add_history)

    def text_dialogue_sft_multiturn(
        self, messages: _Messages, thinking: bool = False, **unused: Any
    ) -> str:
        """The next answer of a conversation in text."""
        turns = inputs.conversation_of(messages, None, None, spoken=False)
        return _text(self._run(converse(turns, _reply(thinking), overrides=self._overrides)))

    def qa(self, input_speech: Any, input_text: str, output_audio_path: _Path = None) -> str:
        """The base model's answer to a question about a recording."""
        del output_audio_path  # it is answered in text
        return self.few_shots_qa([{"audio": input_speech, "question": input_text}])

    def few_shots_qa(self, examples: Sequence[Mapping[str, Any]]) -> str:
        """The base model's answer to the last question, behind others with their answers."""
        prepared = continuation(
            inputs.question_pieces(examples, self._listen),
            stops=("<|endoftext|>", "<|sosp|>"),
            speaks=False,
            overrides=self._overrides,
        )
        return _text(self._run(prepared))

    def gen_text(self, prompts: Sequence[inputs.SaidAs]) -> str:
        """What the base model writes behind questions with answers."""
        prepared = continuation(
            inputs.few_shot_pieces(prompts, self._listen),
            stops=("<|endoftext|>",),
            speaks=False,
            longest=LONGEST_TEXT,
            overrides=self._overrides,
        )
        return _text(self._run(prepared))

    def gen_speech(self, prompts: Sequence[inputs.SaidAs], output_audio_path: _Path) -> str:
        """What the base model says behind questions with answers, into a file; returns its text."""
        pieces = inputs.few_shot_pieces(prompts, self._listen)
        prepared = continuation(
            [*pieces, TextPiece((Template("<|sostm|>"),))],
            stops=("<|endoftext|>", "<|eostm|>"),
            speaks=True,
            longest=LONGEST_SPEECH,
            overrides=self._overrides,
        )
        return _text(self._speak(prepared, output_audio_path))

    def in_context_learning_s2s(self, *arguments: Any, **named: Any) -> None:
        """Do with a recording what examples show, into a file.

        The toolkit calls it with (prompt_examples, audio, output_path), the release with
        (instruction, prompt_examples, audio, max_new_tokens, output_audio_path).
        """
        names: tuple[str, ...] = ("prompt_examples", "audio", "output_path")
        if "instruction" in named or (arguments and isinstance(arguments[0], str)):
            names = ("instruction", *names[:2], "max_new_tokens", "output_audio_path")
        given = {**dict(zip(names, arguments, strict=False)), **named}
        pieces = inputs.imitation_pieces(
            given["prompt_examples"], given["audio"], given.get("instruction"), self._listen
        )
        longest = given.get("max_new_tokens")
        if longest is not None:
            overrides = Overrides(**{**vars(self._overrides), "max_new_tokens": longest})
        else:
            overrides = self._overrides
        path = given.get("output_path", given.get("output_audio_path"))
        self._speak(task("few-shot", pieces, overrides), path)

    def clear_history(self) -> None:
        """Forget what `add_history` goes on with."""
        self._turns = []

    def close(self) -> None:
        """Free the model."""
        self.model.close()

    def __enter__(self) -> ToolkitModel:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _listen(self, value: Any) -> NDArray[np.int64]:
        return self.model.listen(inputs.as_audio(value))

    def _voice(self, value: Any) -> NDArray[np.int64] | None:
        return None if value is None else self._listen(value)

    def _go_on(self, request: NDArray[np.int64] | str, add_history: bool) -> list[Exchange]:
        before = self._turns if add_history else []
        return [*before, Exchange(request=request)]

    def _write(self, request: NDArray[np.int64] | str, thinking: bool, add_history: bool) -> str:
        turns = self._go_on(request, add_history)
        answer = self._run(converse(turns, _reply(thinking), overrides=self._overrides))
        self._turns = [*turns[:-1], Exchange(request=request, answer=answer.text)]
        return _text(answer)

    def _run(self, prepared: Task | PreparedTask) -> Answer:
        return self.model.run(prepared)

    def _speak(self, prepared: Task | PreparedTask, path: _Path) -> Answer:
        answer = self._run(prepared)
        if path is not None:
            rate = answer.sample_rate
            silence = np.zeros(rate, dtype=np.float32)
            samples = silence if answer.audio is None else answer.audio
            write_audio(Path(path), samples, rate, ending=".wav")
        return answer


def _text(answer: Answer) -> str:
    """What the toolkit gets: it looks for the end of the thinking itself."""
    return f"{answer.thinking}\n</think>\n{answer.text}" if answer.thinking else answer.text


def _reply(thinking: bool) -> Reply:
    return "thinking" if thinking else "text"
