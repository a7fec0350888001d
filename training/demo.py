"""The trained pair as one thing that can be talked to (PyTorch, for evaluation)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training.audio_modules import AudioTokenizer
from training.codes import load_tokenizer
from training.generate import Generator, Sampler
from training.language_model import EMPTY_CODES, build_model
from training.mel import LogMel
from training.sequences import ASR_INSTRUCTION, Stream, to_patches

GREEDY = Sampler(temperature=0.0)
CODES = Sampler(temperature=0.9, top_p=0.95)
DIALOGUE = Sampler(temperature=0.6, top_p=0.95)
SPEAKING = Sampler(temperature=0.6, top_p=1.0)
STOPS = ("<|endoftext|>", "<|im_end|>", "<|eostm|>")
MOST = 120  # positions of an answer


class Demo:
    """Waveforms (24 kHz, float32) and text in and out."""

    def __init__(self, tokenizer: Path, language_model: Path, seed: int = 1) -> None:
        self.audio: AudioTokenizer = load_tokenizer(tokenizer)
        self.mel = LogMel(mels=self.audio.config["n_mels"])
        model, self.text = build_model()
        model.load_state_dict(torch.load(language_model, map_location="cpu")["model"])
        self.generator = Generator(model.eval().requires_grad_(False), seed)
        self.special = {self.text.token_to_id(name) for name in STOPS}

    def stream(self) -> Stream:
        """An empty conversation."""
        return Stream(self.text, EMPTY_CODES)

    @torch.no_grad()
    def patches(self, wave: np.ndarray) -> np.ndarray:
        """Audio as the language model gets it."""
        codes = self.audio.encode(self.mel(torch.from_numpy(wave.astype(np.float32))[None]))
        return to_patches(codes[0].numpy())

    @torch.no_grad()
    def waveform(self, patches: np.ndarray) -> np.ndarray:
        """Patches [P, 4, 8] to sound."""
        if not len(patches):
            return np.zeros(0, np.float32)
        codes = torch.from_numpy(patches.reshape(1, -1, patches.shape[-1]).astype(np.int64))
        return self.audio.decode(codes)[0].numpy()

    def complete(self, prompt: Stream, sampler: Sampler) -> tuple[str, np.ndarray]:
        """Generate: the answer's text and its patches."""
        text = torch.tensor(prompt.text)
        codes = torch.from_numpy(np.stack(prompt.codes).astype(np.int64))
        new, patches = self.generator.run(text, codes, self.special, MOST, sampler, CODES)
        spoken = new == prompt.empty
        eot = self.text.token_to_id("<|eot|>")
        words = [int(i) for i in new if int(i) not in {prompt.empty, eot} | self.special]
        return self.text.decode(words).strip(), patches[spoken].numpy()

    def transcribe(self, wave: np.ndarray) -> str:
        """Speech to its words."""
        if len(wave) < self.mel.nfft:
            return ""
        prompt = self.stream()
        prompt.user_speech(self.patches(wave), instruction=ASR_INSTRUCTION)
        prompt.ask_text()
        return self.complete(prompt, GREEDY)[0]

    def speak(self, text: str) -> np.ndarray:
        """Words to speech in the default voice."""
        prompt = self.stream()
        prompt.tts_prompt(text)
        return self.waveform(self.complete(prompt, SPEAKING)[1])

    def reply(
        self, turns: list[np.ndarray], voice: np.ndarray | None = None
    ) -> list[tuple[str, np.ndarray]]:
        """Spoken dialogue: (text, speech) for every user turn."""
        prompt, out = self.stream(), []
        if voice is not None:
            prompt.voice(self.patches(voice))
        for turn in turns:
            prompt.user_speech(self.patches(turn))
            prompt.ask_speech()
            text, patches = self.complete(prompt, DIALOGUE)
            out.append((text, self.waveform(patches)))
            prompt.spoken(text, patches, learn=False)
            prompt.end_turn(learn=False)
        return out

    def write(self, question: str | np.ndarray) -> str:
        """A written answer to a written or a spoken question."""
        prompt = self.stream()
        if isinstance(question, str):
            prompt.user_text(question)
        else:
            prompt.user_speech(self.patches(question))
        prompt.ask_text()
        return self.complete(prompt, DIALOGUE)[0]
