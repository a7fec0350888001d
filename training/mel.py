"""The log-mel spectrogram of the audio tokenizer, in PyTorch (differentiable)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SAMPLE_RATE = 24_000


def mel_filters(bins: int, mels: int, rate: int = SAMPLE_RATE) -> Tensor:
    """HTK triangles without normalization, [bins, mels], from 0 Hz to the Nyquist frequency."""
    top = 2595.0 * math.log10(1.0 + rate / 2 / 700.0)
    edges = 700.0 * (10.0 ** (torch.linspace(0.0, top, mels + 2) / 2595.0) - 1.0)
    slope = edges[None, :] - torch.linspace(0, rate / 2, bins)[:, None]
    width = edges.diff()
    rising = -slope[:, :-2] / width[:-1]
    falling = slope[:, 2:] / width[1:]
    return torch.minimum(rising, falling).clamp(min=0.0)


class LogMel:
    """Waveforms [B, samples] → log-mel [B, 1 + samples // hop, mels]."""

    def __init__(
        self, nfft: int = 960, hop: int = 240, mels: int = 80, floor: float = 1e-7
    ) -> None:
        self.nfft, self.hop, self.floor = nfft, hop, floor
        self.window = torch.hann_window(nfft)
        self.filters = mel_filters(nfft // 2 + 1, mels)

    def magnitude(self, wave: Tensor) -> Tensor:
        """STFT magnitudes [B, frames, bins], centred with reflect padding."""
        spectrum = torch.stft(
            wave, self.nfft, self.hop, window=self.window, return_complex=True, pad_mode="reflect"
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return power.clamp(min=1e-20).sqrt().transpose(1, 2)

    def __call__(self, wave: Tensor) -> Tensor:
        """Natural logarithm of the mel magnitudes, floored."""
        return (self.magnitude(wave) @ self.filters).clamp(min=self.floor).log()
