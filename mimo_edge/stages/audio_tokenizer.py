"""The audio tokenizer: waveform ↔ RVQ codes (report, section 2).

waveform ─ log-mel ─ audio_encoder ─ codes          25 steps/s
codes ─ audio_decoder ─ mel frames ─ vocoder ─ waveform
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..audio.mel_stream import log_mel_segments
from ..bundle.manifest import AudioConfig, Manifest
from ..errors import BadBundleError, BadInputError, CannotSpeakError
from ..system.spare_cores import SpareCores
from .damage import check_codes, check_numbers
from .graphs.graph import Graph
from .machine.placement import Placements

__all__ = ["SEGMENT_FRAMES", "SEGMENT_STEPS", "AudioTokenizer", "DecoderStream"]

SEGMENT_FRAMES = 6000
"""Mel frames (60 s) that the encoder sees at once; longer audio is cut, as in the reference."""
SEGMENT_STEPS = 1500
"""Code steps (60 s) that one offline decode takes; longer speech is cut, as in the reference."""

_CACHED_STEPS = 250
"""Code steps (10 s) of the past that a stream's causal decoder goes on seeing, as many as in the
reference's streaming."""
_MOST_CACHED_STEPS = _CACHED_STEPS * 6 // 5
"""How many it has at most; it is cut every two seconds. In the released model a step takes 0.66 MB,
and twice that while a piece is decoded: in the cache before it, and in the one behind it."""

_LEAST_PAST_FRAMES = 32
"""Frames of the past that the vocoder of a stream sees at least."""

_OVERLAP_FRAMES = 2
"""Frames on each side that share samples with a frame through the inverse STFT's overlap."""


class AudioTokenizer:
    """Three graphs: encoder, decoder, vocoder. Holds no stream of its own.

    In a bundle that only listens there is only the encoder; whatever needs the others raises
    CannotSpeakError.
    """

    def __init__(
        self,
        encoder: Graph,
        speaking: tuple[Graph, ...],
        config: AudioConfig,
        channels: int,
        spare_cores: SpareCores,
    ) -> None:
        self.config = config
        self.channels = channels
        self._spare_cores = spare_cores
        self._encoder = encoder
        self._speaking = speaking

    @classmethod
    def load(
        cls, bundle: Path, manifest: Manifest, placements: Placements, spare_cores: SpareCores
    ) -> AudioTokenizer:
        """Load the graphs that a bundle has; streams tell `spare_cores` while they compute.

        Raises:
            MimoEdgeError: a graph does not load or does not fulfil its contract.
        """
        encoder = Graph.load(bundle, "audio_encoder", manifest, placements.audio_encoder)
        speaking = tuple(
            Graph.load(bundle, name, manifest, placements.sound)
            for name in ("audio_decoder", "vocoder")
            if manifest.speaks
        )
        return cls(
            encoder,
            speaking,
            manifest.audio,
            manifest.patch.channels,
            spare_cores,
        )

    def encode(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Waveform float32 [samples] → codes of all codebooks, int64 [steps, quantizers]."""
        segments = log_mel_segments(samples, self.config, SEGMENT_FRAMES)
        return np.concatenate([self.encode_mel(mel) for mel in segments])

    def encode_mel(self, mel: NDArray[np.float32]) -> NDArray[np.int64]:
        """The same from its log-mel, float32 [frames, n_mels], at least one frame."""
        parts = [
            self._encoder.run({"mel": mel[None, start : start + SEGMENT_FRAMES]}, ["codes"])[0]
            for start in range(0, len(mel), SEGMENT_FRAMES)
        ]
        codes = np.concatenate(parts)
        check_codes("audio encoder", codes, self.config.codebook_sizes)
        return codes

    def decode(
        self, codes: NDArray[np.int64], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Codes int64 [steps, ≥ channels] → waveform float32 [steps · samples_per_step].

        Offline: every step sees the whole segment of at most 60 s. The first `channels`
        codebooks are used; `progress` is told the steps that are done, and all of them.

        Raises:
            MimoEdgeError: codes of another shape or outside their codebooks, or a bundle that
                only listens.
        """
        decoder, vocoder = self._speaking_graphs()
        codes = self._checked(codes)
        samples = np.empty(len(codes) * self.config.samples_per_step, dtype=np.float32)
        for start in range(0, len(codes), SEGMENT_STEPS):
            if progress:
                progress(start, len(codes))
            feeds = {"codes": np.ascontiguousarray(codes[start : start + SEGMENT_STEPS])}
            state = decoder.fresh_state(["codes"])
            mel = decoder.run_stateful(feeds, state, "mel")
            del state  # The cache of 60 s is large; the vocoder does not need it.
            _check_frames(mel[0], len(feeds["codes"]), self.config)
            waveform = vocoder.run({"mel": mel})[0]
            _check_samples(waveform, len(mel[0]), self.config)
            first = start * self.config.samples_per_step
            samples[first : first + len(waveform)] = waveform
        return samples

    def stream(self, lookahead: int | None = None) -> DecoderStream:
        """A decoder for codes that arrive piece by piece; see `DecoderStream`."""
        decoder, vocoder = self._speaking_graphs()
        return DecoderStream(decoder, vocoder, self.config, self._spare_cores, lookahead)

    def providers(self) -> tuple[str, ...]:
        """What each graph is computed with by now, in the order encoder, decoder, vocoder."""
        return tuple(graph.provider for graph in (self._encoder, *self._speaking))

    def close(self) -> None:
        """Free the graphs."""
        for graph in (self._encoder, *self._speaking):
            graph.close()

    def _speaking_graphs(self) -> tuple[Graph, Graph]:
        if not self._speaking:
            raise CannotSpeakError
        decoder, vocoder = self._speaking
        return decoder, vocoder

    def _checked(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The codebooks that are decoded, each code within its own."""
        if codes.ndim != 2 or codes.shape[1] < self.channels or codes.dtype.kind not in "iu":
            raise BadInputError(
                f"the codes are {codes.dtype.name} of shape {codes.shape}; this model decodes "
                f"integers [steps, {self.channels}]."
            )
        codes = codes[:, : self.channels]
        sizes = np.array(self.config.codebook_sizes[: self.channels])
        wrong = np.argwhere((codes < 0) | (codes >= sizes))
        if len(wrong):
            step, channel = wrong[0]
            raise BadInputError(
                f"code {codes[step, channel]} at step {step} of codebook {channel} is outside "
                f"0…{sizes[channel] - 1}; the codes are of another model."
            )
        return codes.astype(np.int64)


class DecoderStream:
    """Decodes one stream of codes as they arrive, each second of it at the same cost.

    The causal decoder keeps its cache of the last 10 to 12 s; the vocoder runs over the new
    mel frames with frames of the past and `lookahead` frames of the future around them, so
    sound comes that much later than its codes. A lookahead of `config.vocoder_right` (the
    default, and the most that makes sense) loses nothing in the vocoder; what still differs
    from `decode` is the GroupNorm statistics, which are those of the stream so far, and
    codes beyond the cache. With a shorter one, two runs of the vocoder disagree a little
    about the sound where they meet, and one is faded into the other; the vocoder then sees
    as much less of the past too, which saves most of its work. `mimo-edge lookahead`
    measures what that costs.
    """

    def __init__(
        self,
        decoder: Graph,
        vocoder: Graph,
        config: AudioConfig,
        spare_cores: SpareCores,
        lookahead: int | None = None,
    ) -> None:
        if lookahead is not None and lookahead < 0:
            raise BadInputError(f"the lookahead is {lookahead} mel frames; give 0 or more.")
        self._decoder = decoder
        self._vocoder = vocoder
        self._config = config
        right = config.vocoder_right
        if lookahead is None or 0 <= right < lookahead:
            lookahead = right
        self.lookahead = lookahead
        """Mel frames that sound waits for; -1: all of them, the vocoder sees to the end."""
        self._spare_cores = spare_cores
        self._fades = lookahead != right
        self._past = _past_frames(config, lookahead)
        self._state = decoder.fresh_state(["codes"])
        self._cached_steps = 0
        self._frames = np.zeros((0, config.n_mels), dtype=np.float32)
        self._first = 0  # Number of the first frame still in `_frames`.
        self._done = 0  # Frames whose samples were given out.
        self._after = np.zeros(0, dtype=np.float32)  # What the last run says comes next.

    @property
    def first_steps(self) -> int:
        """Code steps that are needed before there is any sound; 0 if only `finish` gives it."""
        if self.lookahead < 0:
            return 0
        return self.delay_frames // self._config.decode_stride + 1

    @property
    def delay_frames(self) -> int:
        """Mel frames that have to follow a frame before its sound comes."""
        return max(0, self.lookahead) + _OVERLAP_FRAMES

    def push(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Codes [steps, channels] → the samples that are certain now, float32, maybe none."""
        with self._spare_cores.taken():
            if len(codes):
                feeds = {"codes": np.ascontiguousarray(codes)}
                mel = self._decoder.run_stateful(feeds, self._state, "mel")[0]
                _check_frames(mel, len(codes), self._config)
                self._frames = np.concatenate([self._frames, mel])
                self._bound_cache(len(codes))
            total = self._first + len(self._frames)
            if self.lookahead < 0:
                return np.zeros(0, dtype=np.float32)
            return self._emit(total - self.delay_frames)

    def finish(self) -> NDArray[np.float32]:
        """The rest of the samples, once no more codes will come."""
        with self._spare_cores.taken():
            return self._emit(self._first + len(self._frames))

    def _bound_cache(self, steps: int) -> None:
        self._cached_steps += steps
        if self._cached_steps > _MOST_CACHED_STEPS:
            per_step = self._state.cached // self._cached_steps
            self._state.keep_last(_CACHED_STEPS * per_step)
            self._cached_steps = _CACHED_STEPS

    def _emit(self, end: int) -> NDArray[np.float32]:
        """Samples of the frames from `_done` to `end`; forgets frames out of reach."""
        if end <= self._done:
            return np.zeros(0, dtype=np.float32)
        start = 0 if self._past < 0 else max(0, self._done - self._past - _OVERLAP_FRAMES)
        self._frames = self._frames[start - self._first :]
        self._first = start
        waveform = self._vocoder.run({"mel": self._frames[None]})[0]
        _check_samples(waveform, len(self._frames), self._config)
        hop = self._config.hop_length
        last = (end - start) * hop
        samples = np.array(waveform[(self._done - start) * hop : last], dtype=np.float32)
        if self._fades:
            share = np.linspace(0, 1, len(self._after), dtype=np.float32)
            faded = samples[: len(share)]
            faded += (1 - share) * (self._after - faded)
            self._after = waveform[last : last + hop].copy()
        self._done = end
        return samples


def _past_frames(config: AudioConfig, lookahead: int) -> int:
    """Frames of the past for the vocoder: the same share of its reach as the future gets.

    Measured on a trained vocoder that reaches 160 frames left and 40 right: with 16 frames of
    future, 64 of the past change the sound by less than 0.0001 dB, 32 by 0.003 dB.
    """
    left, right = config.vocoder_left, config.vocoder_right
    if left < 0 or right <= 0:
        return left
    return min(left, max(_LEAST_PAST_FRAMES, -(-left * lookahead // right)))


def _check_frames(mel: NDArray[np.float32], steps: int, config: AudioConfig) -> None:
    """Raise MimoEdgeError unless the decoder made as many mel frames as of these code steps."""
    check_numbers("audio decoder", mel)
    expected = steps * config.decode_stride
    if len(mel) != expected:
        raise BadBundleError(
            f"the audio decoder makes {len(mel)} mel frames of {steps} steps instead of "
            f"{expected}: the bundle is damaged; copy it again or convert again."
        )


def _check_samples(waveform: NDArray[np.float32], frames: int, config: AudioConfig) -> None:
    """Raise MimoEdgeError unless the vocoder made as many samples as of these mel frames."""
    check_numbers("vocoder", waveform)
    expected = frames * config.hop_length
    if len(waveform) != expected:
        raise BadBundleError(
            f"the vocoder makes {len(waveform)} samples of {frames} mel frames instead of "
            f"{expected}: the bundle is damaged; copy it again or convert again."
        )
