"""A converted bundle as one thing that can be talked to, through the runtime itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mimo_edge.engine import Engine
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.tasks import Overrides

MOST = 120  # positions of an answer
SHORTEST = 1000  # samples that are worth listening to


class Demo:
    """Waveforms (24 kHz, float32) and text in and out."""

    def __init__(self, bundle: Path, seed: int = 1, threads: int = 0) -> None:
        self.engine = Engine.load(bundle, RuntimeOptions(threads=threads))
        self.model = MimoAudio(self.engine)
        self._seed = seed

    def _overrides(self) -> Overrides:
        """Another seed each time, the same ones in every run."""
        self._seed += 1
        return Overrides(seed=self._seed, max_new_tokens=MOST)

    def patches(self, wave: np.ndarray) -> np.ndarray:
        """Audio as the language model gets it."""
        return self.engine.hearing.listen(wave.astype(np.float32))

    def waveform(self, patches: np.ndarray) -> np.ndarray:
        """Patches [P, 4, 8] to sound."""
        codes = patches.reshape(-1, patches.shape[-1]).astype(np.int64)
        return self.engine.audio_tokenizer.decode(codes)

    def transcribe(self, wave: np.ndarray) -> str:
        """Speech to its words."""
        if len(wave) < SHORTEST:
            return ""
        wave = wave.astype(np.float32)
        return self.model.transcribe(wave, overrides=self._overrides()).text

    def speak(self, text: str) -> np.ndarray:
        """Words to speech in the default voice."""
        answer = self.model.speak(text, overrides=self._overrides())
        return answer.audio if answer.audio is not None else np.zeros(0, np.float32)

    def reply(
        self, turns: list[np.ndarray], voice: np.ndarray | None = None
    ) -> list[tuple[str, np.ndarray]]:
        """Spoken dialogue: (text, speech) for every user turn."""
        prompt = None if voice is None else voice.astype(np.float32)
        out = []
        with self.model.session(voice=prompt, overrides=self._overrides()) as session:
            for turn in turns:
                answer = session.ask(turn.astype(np.float32))
                sound = answer.audio if answer.audio is not None else np.zeros(0, np.float32)
                out.append((answer.text, sound))
        return out

    def write(self, question: str | np.ndarray) -> str:
        """A written answer to a written or a spoken question."""
        with self.model.session(reply="text", overrides=self._overrides()) as session:
            if isinstance(question, str):
                return session.ask(text=question).text
            return session.ask(question.astype(np.float32)).text

    def close(self) -> None:
        """Free the bundle."""
        self.engine.close()
