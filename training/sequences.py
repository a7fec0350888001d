"""Token streams in exactly the released prompts, for training and for evaluation.

A `Stream` collects positions: text ids, `<|empty|>` with the codes of a patch, and
whether the position is to be predicted (the assistant's answer) or given.
"""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer

from training import domain

GROUP, CHANNELS = 4, 8
ASR_INSTRUCTION = "Please transcribe this audio file"
TTS_INSTRUCTION = "Please convert this text to speech"
NO_THINKING = "<think>\n\n</think>\n"
WORD_NUMBERS = {word: number for number, word in enumerate(domain.WORDS, start=1)}
TEXT_RUN = PATCH_RUN = 5  # interleaving of a spoken answer


def to_patches(codes: np.ndarray) -> np.ndarray:
    """Steps [T, C] → patches [P, 4, C]; the last time step is repeated to fill up."""
    missing = -len(codes) % GROUP
    padded = np.pad(codes, ((0, missing), (0, 0)), mode="edge")
    return padded.reshape(-1, GROUP, codes.shape[1])


class Stream:
    """Positions of one conversation."""

    def __init__(self, tokenizer: Tokenizer, empty_codes: list[int]) -> None:
        self.tokenizer = tokenizer
        self.no_codes = np.broadcast_to(np.array(empty_codes, np.int16), (GROUP, CHANNELS))
        self.empty = tokenizer.token_to_id("<|empty|>")
        self.text: list[int] = []
        self.codes: list[np.ndarray] = []
        self.learn: list[bool] = []
        self.spans: list[tuple[int, int, list[int]]] = []
        """(first, end, domain words from 1) of everything heard whose words are known."""
        self.words: dict[int, np.ndarray] = {}
        """Position → [4, 2]: word and steps since it began, of what the model says."""

    def add(self, ids: list[int], learn: bool = False) -> None:
        """Text positions."""
        self.text += ids
        self.codes += [self.no_codes] * len(ids)
        self.learn += [learn] * len(ids)

    def pieces(self, *pieces: str, learn: bool = False) -> None:
        """Template pieces, each tokenized by itself; special tokens are recognized."""
        for piece in pieces:
            self.add(self.tokenizer.encode(piece).ids, learn)

    def patches(self, patches: np.ndarray, learn: bool = False) -> None:
        """Audio positions [P, 4, 8]."""
        self.text += [self.empty] * len(patches)
        self.codes += list(patches)
        self.learn += [learn] * len(patches)

    def heard(self, patches: np.ndarray, said: str = "") -> None:
        """Audio of the user or of a voice prompt."""
        self.pieces("<|sosp|>")
        first = len(self.text)
        self.patches(patches)
        self.pieces("<|eosp|>")
        words = [WORD_NUMBERS.get(word, 0) for word in said.split()]
        if words and all(words):
            self.spans.append((first, len(self.text), words))

    def spoken(
        self, text: str, patches: np.ndarray, learn: bool, words: np.ndarray | None = None
    ) -> None:
        """Text and audio interleaved; the `<|sostm|>` before it belongs to the prompt.

        `words` [P, 4, 2] as in `codes.Said`.
        """
        ids = [*self.tokenizer.encode(text).ids, self.tokenizer.token_to_id("<|eot|>")]
        turns = max(-(-len(ids) // TEXT_RUN), -(-len(patches) // PATCH_RUN))
        for turn in range(turns):
            self.add(ids[turn * TEXT_RUN : (turn + 1) * TEXT_RUN], learn)
            run = slice(turn * PATCH_RUN, (turn + 1) * PATCH_RUN)
            if words is not None:
                self.words.update(enumerate(words[run], start=len(self.text)))
            self.patches(patches[run], learn)
        self.pieces("<|eostm|>", learn=learn)

    def voice(self, patches: np.ndarray) -> None:
        """The system turn that chooses the voice of the answers."""
        self.pieces("<|im_start|>system\n", "Your voice should be:")
        self.heard(patches)
        self.pieces("<|im_end|>\n")

    def user_speech(
        self, patches: np.ndarray, instruction: str = "", system: str = "", said: str = ""
    ) -> None:
        """A spoken user turn; `instruction` follows the audio, `system` precedes it."""
        self.pieces("<|im_start|>user\n")
        if system:
            self.pieces(system, "\n\n")
        self.heard(patches, said)
        if instruction:
            self.pieces(instruction)
        self.pieces("<|im_end|>\n")

    def user_text(self, text: str) -> None:
        """A written user turn."""
        self.pieces("<|im_start|>user\n", text, "<|im_end|>\n")

    def tts_prompt(self, text: str) -> None:
        """Text to speech, up to where the answer begins."""
        if text == text.lower() or text == text.upper():
            text = text.capitalize()
        self.pieces(f"<|im_start|>user\n{TTS_INSTRUCTION}: {text}<|im_end|>\n")
        self.pieces("<|im_start|>assistant\n<|sostm|>")

    def ask_speech(self) -> None:
        """The end of a spoken dialogue's prompt."""
        self.pieces("<|im_start|>assistant\n<|sostm|>")

    def ask_text(self) -> None:
        """The end of a prompt that is answered in writing."""
        self.pieces("<|im_start|>assistant\n", NO_THINKING)

    def end_turn(self, learn: bool) -> None:
        """Close an assistant turn; the line break after it is never predicted."""
        self.pieces("<|im_end|>", learn=learn)
        self.pieces("\n")
