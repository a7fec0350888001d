"""The audio tokenizer: waveform ↔ RVQ codes (report, section 2).

waveform ─ log-mel ─ audio_encoder ─ codes          25 steps/s
codes ─ audio_decoder ─ mel frames ─ vocoder ─ waveform
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .audio import log_mel
from .config import AudioConfig, Manifest
from .errors import MimoEdgeError
from .graphs import Graph

__all__ = ["SEGMENT_FRAMES", "SEGMENT_STEPS", "AudioTokenizer", "DecoderStream"]

SEGMENT_FRAMES = 6000
"""Mel frames (60 s) that the encoder sees at once; longer audio is cut, as in the reference."""
SEGMENT_STEPS = 1500
"""Code steps (60 s) that one offline decode takes; longer speech is cut, as in the reference."""

_OVERLAP_FRAMES = 2
"""Frames on each side that share samples with a frame through the inverse STFT's overlap."""


class AudioTokenizer:
    """Three graphs: encoder, decoder, vocoder. Holds no stream of its own."""

    def __init__(
        self, encoder: Graph, decoder: Graph, vocoder: Graph, config: AudioConfig, channels: int
    ) -> None:
        self.config = config
        self.channels = channels
        self._encoder = encoder
        self._decoder = decoder
        self._vocoder = vocoder

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest, *, threads: int) -> AudioTokenizer:
        """Load the three graphs of a bundle.

        Raises:
            MimoEdgeError: a graph does not load or does not fulfil its contract.
        """
        encoder, decoder, vocoder = (
            Graph.load(bundle, name, manifest, threads=threads)
            for name in ("audio_encoder", "audio_decoder", "vocoder")
        )
        return cls(encoder, decoder, vocoder, manifest.audio, manifest.patch.channels)

    def encode(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Waveform float32 [samples] → codes of all codebooks, int64 [steps, quantizers]."""
        mel = log_mel(samples, self.config)
        parts = [
            self._encoder.run({"mel": mel[None, start : start + SEGMENT_FRAMES]}, ["codes"])[0]
            for start in range(0, len(mel), SEGMENT_FRAMES)
        ]
        return np.concatenate(parts)

    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes int64 [steps, channels] → waveform float32 [steps · samples_per_step].

        Offline: every step sees the whole segment of at most 60 s.

        Raises:
            MimoEdgeError: codes of another shape or outside their codebooks.
        """
        self._check(codes)
        parts = [np.zeros(0, dtype=np.float32)]
        for start in range(0, len(codes), SEGMENT_STEPS):
            feeds = {"codes": np.ascontiguousarray(codes[start : start + SEGMENT_STEPS])}
            state = self._decoder.fresh_state(["codes"])
            mel = self._decoder.run_stateful(feeds, state, "mel")
            del state  # The cache of 60 s is large; the vocoder does not need it.
            parts.append(self._vocoder.run({"mel": mel})[0])
        return np.concatenate(parts)

    def stream(self, lookahead: int | None = None) -> DecoderStream:
        """A decoder for codes that arrive piece by piece; see `DecoderStream`."""
        return DecoderStream(self._decoder, self._vocoder, self.config, lookahead)

    def close(self) -> None:
        """Free the graphs."""
        for graph in (self._encoder, self._decoder, self._vocoder):
            graph.close()

    def _check(self, codes: NDArray[np.int64]) -> None:
        if codes.ndim != 2 or codes.shape[1] != self.channels:
            raise MimoEdgeError(
                f"the codes have shape {codes.shape}; this model decodes [steps, {self.channels}]."
            )
        sizes = np.array(self.config.codebook_sizes[: self.channels])
        wrong = np.argwhere((codes < 0) | (codes >= sizes))
        if len(wrong):
            step, channel = wrong[0]
            raise MimoEdgeError(
                f"code {codes[step, channel]} at step {step} of codebook {channel} is outside "
                f"0…{sizes[channel] - 1}; the codes are of another model."
            )


class DecoderStream:
    """Decodes one stream of codes as they arrive.

    The causal decoder keeps its cache; the vocoder runs over the new mel frames with
    `config.vocoder_left` frames of the past and `lookahead` frames of the future around
    them, so sound comes that much later than its codes. A lookahead of `vocoder_right`
    (the default) loses nothing in the vocoder; what still differs from `decode` is the
    GroupNorm statistics, which are those of the stream so far.
    """

    def __init__(
        self, decoder: Graph, vocoder: Graph, config: AudioConfig, lookahead: int | None = None
    ) -> None:
        self._decoder = decoder
        self._vocoder = vocoder
        self._config = config
        self._lookahead = config.vocoder_right if lookahead is None else lookahead
        self._state = decoder.fresh_state(["codes"])
        self._frames = np.zeros((0, config.n_mels), dtype=np.float32)
        self._first = 0  # Number of the first frame still in `_frames`.
        self._done = 0  # Frames whose samples were given out.

    def push(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes [steps, channels] → the samples that are certain now, float32, maybe none."""
        if len(codes):
            feeds = {"codes": np.ascontiguousarray(codes)}
            mel = self._decoder.run_stateful(feeds, self._state, "mel")[0]
            self._frames = np.concatenate([self._frames, mel])
        total = self._first + len(self._frames)
        if self._lookahead < 0:
            return np.zeros(0, dtype=np.float32)
        return self._emit(total - self._lookahead - _OVERLAP_FRAMES)

    def finish(self) -> NDArray[np.float32]:
        """The rest of the samples, once no more codes will come."""
        return self._emit(self._first + len(self._frames))

    def _emit(self, end: int) -> NDArray[np.float32]:
        """Samples of the frames from `_done` to `end`; forgets frames out of reach."""
        if end <= self._done:
            return np.zeros(0, dtype=np.float32)
        reach = self._config.vocoder_left
        start = 0 if reach < 0 else max(0, self._done - reach - _OVERLAP_FRAMES)
        self._frames = self._frames[start - self._first :]
        self._first = start
        waveform = self._vocoder.run({"mel": self._frames[None]})[0]
        hop = self._config.hop_length
        samples = waveform[(self._done - start) * hop : (end - start) * hop]
        self._done = end
        return np.asarray(samples, dtype=np.float32)
