"""From a recording to what the model gets of it: samples, log-mel, codes, patches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from .audio import (
    LONGEST_S,
    AudioInput,
    SurveyedSound,
    check_length,
    log_mel,
    read_recording,
    shorten_pauses,
    surveyed,
)
from .bundle.manifest import Manifest
from .errors import BadInputError, DoesNotFitError
from .prompt.positions import to_patches
from .stages.audio_tokenizer import AudioTokenizer
from .trained_tasks import hears_one_sentence

__all__ = ["HeardPart", "Hearing"]

_SILENCE = 1e-4
"""Peak amplitude (-80 dB) below which a recording holds nothing to listen to."""
_LONGEST_REST_S = 3.0
"""Of a pause what is left out, from which on what follows is a part of its own: it is about
something else, or so long after the words before it that one time could not be said of both."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeardPart:
    """A part of a recording, as it is listened to."""

    samples: NDArray[np.float32]
    """[n], without the middle of its pauses."""
    begin_s: float
    end_s: float
    """When in the recording, pauses included."""


class Hearing:
    """How one model hears."""

    def __init__(
        self,
        manifest: Manifest,
        audio_tokenizer: AudioTokenizer,
        *,
        context: int,
        check_memory: Callable[[], None],
    ) -> None:
        """Recordings that fit `context` positions; `check_memory` is called before much work."""
        self.manifest = manifest
        self._audio_tokenizer = audio_tokenizer
        self._context = context
        self._check_memory = check_memory

    def listen(self, audio: AudioInput) -> NDArray[np.int64]:
        """Audio → patches int64 [patches, group, channels].

        Raises:
            MimoEdgeError: the audio cannot be read, is silent, or does not fit the context.
        """
        return self.listen_samples(self.hear(audio))

    def hear(self, audio: AudioInput) -> NDArray[np.float32]:
        """What there is to hear in a recording, float32 [n]: all but the middle of long pauses.

        Raises:
            MimoEdgeError: the audio cannot be read, or is silent.
        """
        return shorten_pauses(self._read(audio), self.manifest.audio.sample_rate)

    def request(self, audio: AudioInput | NDArray[np.int64]) -> NDArray[np.int64]:
        """A recording, or patches that `Listener` gave → patches, as `listen`.

        Patches are integers of three dimensions, which samples never have.

        Raises:
            MimoEdgeError: the audio cannot be read, or the patches are of another model.
        """
        if isinstance(audio, np.ndarray) and audio.dtype.kind == "i" and audio.ndim > 2:
            return self.check_patches(cast(NDArray[np.int64], audio))
        return self.listen(cast(AudioInput, audio))

    @contextlib.contextmanager
    def open(
        self, audio: AudioInput, *, longest_s: float = LONGEST_S, may_be_silent: bool = False
    ) -> Iterator[SurveyedSound]:
        """A recording to be heard part by part, never in memory as a whole; see `parts_of`.

        Raises:
            MimoEdgeError: the audio cannot be read, is longer than `longest_s` seconds, or is
                silent and may not be.
        """
        config = self.manifest.audio
        with surveyed(audio, config.sample_rate, longest_s=longest_s) as recording:
            check_length(recording.sound.name, recording.samples, config)
            if not may_be_silent:
                self._check_heard(recording.sound.name, recording.peak)
            yield recording

    def parts(self, audio: AudioInput, longest_s: float) -> Iterator[HeardPart]:
        """A recording in parts of at most so many seconds and half a context, cut in its long
        pauses, else where it is quiet; parts that hold nothing to listen to are left out.

        Raises:
            MimoEdgeError: the audio cannot be read, or is silent.
        """
        with self.open(audio) as recording:
            yield from self.parts_of(recording, longest_s)

    def parts_of(self, recording: SurveyedSound, longest_s: float) -> Iterator[HeardPart]:
        """The parts of a recording that is open, as `parts`.

        Raises:
            MimoEdgeError: it cannot be read any more.
        """
        rate = recording.sound.rate
        longest_s = min(longest_s, self.seconds_of(self._context) / 2)
        rest_s = 0.0 if hears_one_sentence(self.manifest) else _LONGEST_REST_S
        for part in recording.cut(longest_s, rest_s):
            # Long silence is shortened, but a part may still be so soft that it counts as none.
            if not self.is_silent(part.samples):
                begin_s, end_s = part.begin / rate, part.end / rate
                yield HeardPart(samples=part.samples, begin_s=begin_s, end_s=end_s)

    def listen_samples(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Samples as `hear` gives them → patches, as `listen`.

        Raises:
            MimoEdgeError: it does not fit the context.
        """
        self._check_length(len(samples))
        self._check_memory()
        return self.listen_mel(log_mel(samples, self.manifest.audio))

    def listen_mel(self, mel: NDArray[np.float32]) -> NDArray[np.int64]:
        """Log-mel float32 [frames, n_mels] (`StreamingLogMel`) → patches, as `listen`.

        Raises:
            MimoEdgeError: it does not fit the context.
        """
        self._check_length(len(mel) * self.manifest.audio.hop_length)
        return to_patches(self._audio_tokenizer.encode_mel(mel), self.manifest.patch)

    def check_patches(self, patches: NDArray[np.int64]) -> NDArray[np.int64]:
        """Patches as `listen` gives them: integers [patches, group, channels] → the same, int64.

        Raises:
            MimoEdgeError: another shape, none, or codes that this model does not know.
        """
        shape = (self.manifest.patch.group_size, self.manifest.patch.channels)
        if patches.ndim != 3 or patches.shape[1:] != shape or not len(patches):
            raise BadInputError(
                f"the patches have shape {patches.shape}; give [patches, {shape[0]}, {shape[1]}], "
                "at least one, or samples as float32."
            )
        sizes = np.array(self.manifest.audio.codebook_sizes[: shape[1]])
        wrong = patches[(patches < 0) | (patches >= sizes)]
        if len(wrong):
            raise BadInputError(
                f"the patches hold the code {wrong[0]}, which this model does not know; "
                "they are of another model."
            )
        return patches.astype(np.int64)

    def seconds_of(self, positions: int) -> float:
        """How much sound fits so many positions."""
        config, group = self.manifest.audio, self.manifest.patch.group_size
        return positions * group * config.samples_per_step / config.sample_rate

    @staticmethod
    def is_silent(samples: NDArray[np.float32]) -> bool:
        """Whether a recording holds nothing to listen to."""
        return float(np.abs(samples).max()) < _SILENCE

    def _read(self, audio: AudioInput) -> NDArray[np.float32]:
        """The samples of a recording, unless it is silent."""
        recording = read_recording(audio, self.manifest.audio)
        self._check_heard(recording.name, float(np.abs(recording.samples).max()))
        return recording.samples

    @staticmethod
    def _check_heard(name: str, peak: float) -> None:
        if peak < _SILENCE:
            raise BadInputError(
                f"{name} is silent (peak {peak:.6f} of 1); check that the microphone was not muted."
            )

    def _check_length(self, samples: int) -> None:
        """Refuse what cannot fit before the encoder works minutes for nothing."""
        config, group = self.manifest.audio, self.manifest.patch.group_size
        patches = samples // (config.encode_stride * config.hop_length * group)
        if patches > self._context:
            raise DoesNotFitError(
                f"the recording of {samples / config.sample_rate:.0f} s takes {patches} positions "
                f"and the context holds {self._context}; give a larger context "
                f"(at most {self.manifest.backbone.max_positions}) or shorter audio."
            )
