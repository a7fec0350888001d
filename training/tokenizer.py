"""Train the audio tokenizer: `python -m training.tokenizer DATA RUN`.

It hears degraded speech and reconstructs clean speech, so the codes carry what was said
and by which voice, not the room. A linear phone classifier on the first codebooks
(phone times come from the synthesizer) makes those codes phonetic; it is not exported.
`RUN/last.pt` is written every few minutes and continued from.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from training.audio_modules import AudioTokenizer
from training.augment import Condition, augment, draw_condition
from training.data import SAMPLE_RATE, Speech
from training.mel import LogMel
from training.split import is_held_out

PHONES = (
    "pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th "
    "uh uw v w y z zh"
).split()
STEP = 960  # samples of one code step
CODES_FROM = 300  # training step from which vectors are quantized
CONFIG: dict[str, Any] = {
    "architectures": ["MiMoAudioTokenizer"],
    "model_type": "mimo_audio_tokenizer",
    "d_model": 192,
    "encoder_layers": 3,
    "encoder_skip_layer_id": 2,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 512,
    "decoder_layers": 3,
    "decoder_attention_heads": 6,
    "decoder_ffn_dim": 512,
    "n_mels": 80,
    "nfft": 960,
    "hop_length": 240,
    "window_size": 960,
    "vocoder_dim": 192,
    "vocoder_attention_heads": 6,
    "vocoder_intermediate_dim": 512,
    "vocoder_num_layers": 4,
    "vocoder_attn_window_size": [40, 10],
    "num_quantizers": 8,
    "codebook_size": [256, 256, 128, 128, 128, 128, 128, 128],
    "avg_pooler": 2,
    "stride_size": 2,
    "kernel_size": 3,
    "decoder_kernel_size": 3,
    "decoder_stride_size": 2,
    "encoder_causal": False,
    "decoder_causal": True,
    "encoder_attn_window_size": [-1, -1],
    "decoder_attn_window_size": [-1, -1],
    "max_audio_seconds": 1800,
    "scale_embedding": False,
    "activation_function": "gelu",
    "ln_type": "LayerNorm",
    "rope_theta": 10000,
    "rope_type": "default",
    "position_embedding_type": "rope",
    "vocoder_padding": "same",
    "fmin": 0,
    "fmax": None,
    "sampling_rate": SAMPLE_RATE,
}
log = logging.getLogger(__name__)


def phone_labels(phones: list[tuple[str, float]], steps: int) -> np.ndarray:
    """The phone in the middle of each code step; -100 where it has no class."""
    names = [PHONES.index(name) if name in PHONES else -100 for name, _ in phones]
    ends = np.array([end for _, end in phones])
    middles = (np.arange(steps) + 0.5) * STEP / SAMPLE_RATE
    return np.array([*names, -100])[np.searchsorted(ends, middles)]


class Crops(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Item `i` is the batch of training step `i`: heard, clean, phone labels."""

    def __init__(
        self, speech: Speech, seed: int, steps: int, seconds_per_batch: float, own_voice: float
    ) -> None:
        """`own_voice` is the share of clean speech by the voices that the model speaks with."""
        self.speech, self.seed, self.steps = speech, seed, steps
        self.entries = [e for e in speech.entries if not is_held_out(e)]
        self.answers = [e for e in self.entries if e["kind"] == "answer"]
        self.seconds, self.own_voice = seconds_per_batch, own_voice

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Crops of one of three lengths, about the same amount of speech in every batch."""
        rng = np.random.default_rng((self.seed, step))
        seconds = (1.2, 1.2, 2.4, 3.6)[rng.integers(4)]
        rows = [self.crop(seconds, rng) for _ in range(round(self.seconds / seconds))]
        heard, clean, labels = (np.stack(column) for column in zip(*rows, strict=True))
        return torch.from_numpy(heard), torch.from_numpy(clean), torch.from_numpy(labels)

    def crop(self, seconds: float, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """One random place of one random utterance, padded if it is shorter."""
        entries = self.answers if rng.random() < self.own_voice else self.entries
        entry = entries[rng.integers(len(entries))]
        at = draw_condition(rng) if rng.random() < 0.75 else Condition(lead=rng.uniform(0, 0.2))
        if entries is self.answers:
            at = Condition(lead=rng.uniform(0.08, 0.2))
        heard, clean, phones = augment(self.speech.wave(entry), entry, at, rng)
        size = int(seconds * SAMPLE_RATE)
        missing = max(0, size - len(heard))
        heard, clean = np.pad(heard, (0, missing)), np.pad(clean, (0, missing))
        begin = int(rng.integers(len(heard) - size + 1))
        shifted = [(name, end - begin / SAMPLE_RATE) for name, end in phones]
        labels = phone_labels(shifted, size // STEP + 1)
        return heard[begin : begin + size], clean[begin : begin + size], labels


class SpectralLoss:
    """Log-mel L1, spectral convergence and log-magnitude L1 at three resolutions.

    The frames begin anywhere: were they the vocoder's own, what repeats with every frame of
    it (a buzz of 100 Hz) would cost little.
    """

    def __init__(self) -> None:
        sizes = ((960, 240, 80), (2048, 500, 100), (384, 96, 48))
        self.mels = [LogMel(nfft, hop, mels) for nfft, hop, mels in sizes]

    def __call__(self, made: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """(loss, log-mel L1 at the tokenizer's own resolution); magnitudes floored at -80 dB."""
        total, reported = torch.zeros(()), torch.zeros(())
        begin = int(torch.randint(240, ()))
        made, wanted = made[:, begin:], wanted[:, begin:]
        for index, mel in enumerate(self.mels):
            floor = 1e-4 * mel.nfft / 2
            a, b = mel.magnitude(made), mel.magnitude(wanted)
            log_a, log_b = (a @ mel.filters + floor).log(), (b @ mel.filters + floor).log()
            distance = (log_a - log_b).abs().mean()
            total = (
                total + 5 * distance + 0.1 * ((a + floor).log() - (b + floor).log()).abs().mean()
            )
            total = total + (a - b).norm() / (b.norm() + 1e-3)
            if index == 0:
                reported = distance.detach()
        return total, reported


class Trainer:
    """Model, optimizer and their place in time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        torch.manual_seed(arguments.seed)
        self.model = AudioTokenizer(CONFIG)
        self.phones = nn.ModuleList(nn.Linear(CONFIG["d_model"], len(PHONES)) for _ in range(2))
        self.mel, self.loss = LogMel(mels=CONFIG["n_mels"]), SpectralLoss()
        self.seen: list[Tensor] = []
        self.steps, self.rate = arguments.steps, arguments.rate
        self.step, self.path = 0, arguments.run / "last.pt"
        self.decoder_only = arguments.decoder_of is not None
        parameters = [*self.model.parameters(), *self.phones.parameters()]
        if arguments.decoder_of:
            parameters = list(self.model.decoder.parameters())
            state = torch.load(arguments.decoder_of)
            self.model.load_state_dict(state["model"])
            self.phones.load_state_dict(state.get("phones", self.phones.state_dict()))
        self.optimizer = torch.optim.AdamW(
            parameters, betas=(0.8, 0.98), weight_decay=0.01, fused=True
        )
        if self.path.exists():
            state = torch.load(self.path)
            self.model.load_state_dict(state["model"])
            self.phones.load_state_dict(state["phones"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]

    def save(self) -> None:
        """Atomically."""
        state = {"model": self.model.state_dict(), "phones": self.phones.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "step": self.step}
        torch.save(state, self.path.with_suffix(".new"))
        self.path.with_suffix(".new").rename(self.path)

    def quantize(self, x: Tensor) -> Tensor:
        """Running sums [N, levels, C]; before the codebooks begin, the vectors themselves.

        An untrained encoder says nearly the same everywhere: k-means on that would leave
        most codes dead for long.
        """
        quantizer = self.model.encoder.quantizer
        if self.step < CODES_FROM:
            self.seen = [*self.seen[-19:], x]
            return x[:, None].expand(-1, len(quantizer.vq.layers), -1)
        if self.seen:
            quantizer(torch.cat(self.seen), learn=True)  # k-means
            self.seen = []
        return quantizer(x, learn=True).levels

    def encoded(self, heard: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Quantized vectors, by a random number of levels, and the encoder's own losses."""
        x = self.model.encoder(self.mel(heard))
        flat = x.flatten(0, 1)
        sums = self.quantize(flat.detach())
        commitment = (flat[:, None] - sums).square().mean()
        through = flat[:, None] + (sums - flat[:, None]).detach()
        phone = torch.stack(
            [
                F.cross_entropy(head(through[:, level]), labels.flatten(), ignore_index=-100)
                for level, head in enumerate(self.phones)
            ]
        ).sum()
        levels = sums.shape[1]
        used = torch.randint(1, levels + 1, (len(x),))
        used = torch.where(torch.rand(len(x)) < 0.7, levels, used)
        rows = used.repeat_interleave(x.shape[1]) - 1
        chosen = through[torch.arange(len(rows)), rows].unflatten(0, x.shape[:2])
        return chosen, {"commit": commitment, "phone": 0.5 * phone}

    @torch.no_grad()
    def disturbed(self, heard: Tensor) -> Tensor:
        """Quantized vectors with some random fine codes, as a language model samples them."""
        codes = self.model.encode(self.mel(heard))
        for level, size in enumerate(CONFIG["codebook_size"]):
            hit = torch.rand(codes.shape[:2]) < 0.01 * level
            codes[..., level][hit] = torch.randint(size, (int(hit.sum()),))
        return self.model.encoder.quantizer.decode(codes)

    def learn(self, heard: Tensor, clean: Tensor, labels: Tensor) -> dict[str, float]:
        """One step."""
        warm = min(1.0, (self.step + 1) / 200)
        decay = 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * warm * max(decay, 0.02)
        side: dict[str, Tensor] = {}
        if self.decoder_only:
            chosen = self.disturbed(heard)
        else:
            chosen, side = self.encoded(heard, labels)
        made = self.model.decoder(chosen)[:, : clean.shape[1]]
        spectral, mel = self.loss(made, clean)
        total = spectral + sum(side.values())
        self.optimizer.zero_grad()
        total.backward()
        norm = nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 5.0)
        self.optimizer.step()
        self.step += 1
        report = {"spectral": spectral, "mel": mel, **side}
        return {key: float(value.detach()) for key, value in report.items()} | {"norm": float(norm)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument(
        "--decoder-of", type=Path, help="keep this checkpoint's codes, train only its decoder on"
    )
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=6e-4)
    parser.add_argument("--seconds", type=float, default=14.4, help="of speech in a batch")
    parser.add_argument(
        "--own-voice", type=float, default=0.0, help="share of the voices it answers with, clean"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    arguments.run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(arguments)
    sizes = (arguments.seed, arguments.steps, arguments.seconds, arguments.own_voice)
    crops = Crops(Speech(arguments.data), *sizes)
    order = range(trainer.step, arguments.steps)
    loader = DataLoader(crops, batch_size=None, sampler=order, num_workers=1, prefetch_factor=4)
    mean: dict[str, float] = {}
    count = 0
    saved = began = time.monotonic()
    for batch in loader:
        for key, value in trainer.learn(*batch).items():
            mean[key] = mean.get(key, 0.0) + value
        count += 1
        if trainer.step % 50 == 0:
            figures = "  ".join(f"{key} {value / count:.3f}" for key, value in mean.items())
            books = trainer.model.encoder.quantizer.vq.layers
            counts = [book.codebook.cluster_size for book in books]
            use = [size / size.sum().clamp(min=1) for size in counts]
            alive = [round(float(torch.special.entr(share).sum().exp())) for share in use]
            pace = (time.monotonic() - began) / count
            log.info("step %d  %s  perplexity %s  %.2f s", trainer.step, figures, alive, pace)
            mean, count, began = {}, 0, time.monotonic()
        if time.monotonic() - saved > 120 or trainer.step == arguments.steps:
            trainer.save()
            saved = time.monotonic()


if __name__ == "__main__":
    main()
