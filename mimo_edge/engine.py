"""All stages of a loaded bundle, and what tasks and sessions both do with them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .audio import AudioInput, log_mel, read_recording, shorten_pauses, write_audio
from .bundle.backbone_check import check_backbone
from .bundle.files import load_manifest
from .bundle.manifest import BACKBONE_FILE, Manifest
from .errors import MimoEdgeError
from .generation.events import AudioChunk, Event, StopReason, TextDelta, TurnEnd, TurnStats
from .generation.generate import Stages, stream
from .generation.position_cache import PositionCache
from .generation.sound import SoundOptions
from .prompt.positions import Layout, to_patches
from .prompt.text_tokenizer import TextTokenizer, split_thinking
from .stages.audio_tokenizer import AudioTokenizer
from .stages.backbone import Backbone
from .stages.memory_needs import MemoryNeeds
from .stages.native import check_process
from .stages.native_probe import check_repacked
from .stages.patch_decoder import PatchDecoder
from .stages.patch_encoder import PatchEncoder
from .stages.placement import share_cores, useful_threads
from .stages.runtime_options import RuntimeOptions
from .stages.sampling import GREEDY
from .system.spare_cores import SpareCores
from .tasks import Task

__all__ = ["Answer", "Engine", "OnSound", "OnText"]

_SILENCE = 1e-4
"""Peak amplitude (-80 dB) below which a recording holds nothing to listen to."""


OnText = Callable[[str], None]
"""Called with each piece of text as it is generated."""

OnSound = Callable[[NDArray[np.float32]], None]
"""Called with each piece of speech, float32 [n] at the model's rate, as it is generated."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A finished answer."""

    text: str
    """Without surrounding blanks and without the thinking."""
    thinking: str
    """What was thought aloud before it; empty if nothing was."""
    audio: NDArray[np.float32] | None
    """[samples], mono; None if the answer holds no speech."""
    sample_rate: int
    """Hz, of `audio`."""
    codes: NDArray[np.int64]
    """[steps, channels], what `audio` was decoded from."""
    reason: StopReason
    stats: TurnStats

    def save(self, path: str | Path) -> None:
        """Write the speech as WAV, FLAC, MP3, OGG or Opus, by the file's name.

        Raises:
            MimoEdgeError: the answer holds no speech, the ending of the name is unknown, or the
                file cannot be written.
        """
        if self.audio is None:
            raise MimoEdgeError(
                f"the answer holds no speech ({self.text!r}), so {path} was not written."
            )
        write_audio(Path(path), self.audio, self.sample_rate)


class Engine:
    """Owns the native handles; close it once all sessions are closed."""

    def __init__(
        self,
        manifest: Manifest,
        needs: MemoryNeeds,
        backbone: Backbone,
        patch_encoder: PatchEncoder,
        patch_decoder: PatchDecoder,
        audio_tokenizer: AudioTokenizer,
    ) -> None:
        self.manifest = manifest
        self._needs = needs
        self.backbone = backbone
        self.patch_encoder = patch_encoder
        self.patch_decoder = patch_decoder
        self.audio_tokenizer = audio_tokenizer
        self.tokenizer = TextTokenizer(backbone, manifest.special_tokens)
        self.layout = Layout(self.tokenizer, manifest.patch)

    @classmethod
    def load(
        cls, bundle: Path, options: RuntimeOptions, manifest: Manifest | None = None
    ) -> Engine:
        """Load every part; nothing stays loaded if one fails.

        A `manifest` that is given stands for the one in the folder.

        Raises:
            MimoEdgeError: which file is wrong, and what to do.
        """
        manifest = manifest or load_manifest(bundle)
        check_process()
        options.context_for(manifest.backbone)  # before anything is loaded
        if options.repack:
            check_repacked()
        check_backbone(bundle / BACKBONE_FILE, manifest)
        shares = share_cores(useful_threads(options.threads), manifest.backbone_bytes)
        needs = MemoryNeeds.of(manifest, options, shares.threads)
        needs.check_model()
        spare_cores = SpareCores()
        with contextlib.ExitStack() as opened:
            parts = []
            for load in (
                lambda: Backbone.load(
                    bundle / BACKBONE_FILE, manifest.backbone, options, shares, spare_cores
                ),
                lambda: PatchEncoder.load(bundle, manifest, threads=shares.threads),
                lambda: PatchDecoder.load(bundle, manifest, threads=shares.patch_decoder),
                lambda: AudioTokenizer.load(
                    bundle, manifest, threads=shares.threads, spare_cores=spare_cores
                ),
            ):
                part = load()
                opened.callback(part.close)
                parts.append(part)
            engine = cls(manifest, needs, *parts)  # type: ignore[arg-type]
            opened.pop_all()
        return engine

    def new_cache(self) -> PositionCache:
        """An empty KV cache.

        Raises:
            MimoEdgeError: there is not enough memory for it, or the model is closed.
        """
        self._needs.check_cache()
        return PositionCache(self.backbone, self.patch_encoder, self.layout)

    def check_memory(self) -> None:
        """Refuse to compute where native code would find no memory and end the process.

        Raises:
            MimoEdgeError: there is too little.
        """
        self._needs.check_step()

    def warm_up(self, lookahead: int | None = None) -> None:
        """Run every graph once, so that the first answer does not pay for their first run.

        The sound of a short silence is encoded, embedded, predicted and decoded, for nothing.
        """
        audio, group = self.manifest.audio, self.manifest.patch.group_size
        silence = np.zeros(audio.samples_per_step * group * 2, dtype=np.float32)
        codes = self.audio_tokenizer.encode(silence)[:, : self.manifest.patch.channels]
        patches = to_patches(codes, self.manifest.patch)
        self.patch_encoder.encode(patches)
        if not self.manifest.speaks:
            return
        hidden = np.zeros(self.manifest.backbone.hidden_size, dtype=np.float32)
        self.patch_decoder.decode(hidden, GREEDY, np.random.default_rng(0))
        stream = self.audio_tokenizer.stream(lookahead)
        for _ in range(3):
            stream.push(codes)
        stream.finish()

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
        config = self.manifest.audio
        recording = read_recording(audio, config)
        if self.is_silent(recording.samples):
            raise MimoEdgeError(
                f"{recording.name} is silent (peak {np.abs(recording.samples).max():.6f} of 1); "
                "check that the microphone was not muted."
            )
        return shorten_pauses(recording.samples, config.sample_rate)

    def listen_samples(self, samples: NDArray[np.float32]) -> NDArray[np.int64]:
        """Samples as `hear` gives them → patches, as `listen`.

        Raises:
            MimoEdgeError: it does not fit the context.
        """
        self._check_length(len(samples))
        self.check_memory()
        return self.listen_mel(log_mel(samples, self.manifest.audio))

    def listen_mel(self, mel: NDArray[np.float32]) -> NDArray[np.int64]:
        """Log-mel float32 [frames, n_mels] (`StreamingLogMel`) → patches, as `listen`.

        Raises:
            MimoEdgeError: it does not fit the context.
        """
        self._check_length(len(mel) * self.manifest.audio.hop_length)
        return to_patches(self.audio_tokenizer.encode_mel(mel), self.manifest.patch)

    def check_patches(self, patches: NDArray[np.int64]) -> NDArray[np.int64]:
        """Patches as `listen` gives them: integers [patches, group, channels] → the same, int64.

        Raises:
            MimoEdgeError: another shape, none, or codes that this model does not know.
        """
        shape = (self.manifest.patch.group_size, self.manifest.patch.channels)
        if patches.ndim != 3 or patches.shape[1:] != shape or not len(patches):
            raise MimoEdgeError(
                f"the patches have shape {patches.shape}; give [patches, {shape[0]}, {shape[1]}], "
                "at least one, or samples as float32."
            )
        sizes = np.array(self.manifest.audio.codebook_sizes[: shape[1]])
        wrong = patches[(patches < 0) | (patches >= sizes)]
        if len(wrong):
            raise MimoEdgeError(
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

    def _check_length(self, samples: int) -> None:
        """Refuse what cannot fit before the encoder works minutes for nothing."""
        config, group = self.manifest.audio, self.manifest.patch.group_size
        patches = samples // (config.encode_stride * config.hop_length * group)
        if patches > self.backbone.context:
            raise MimoEdgeError(
                f"the recording of {samples / config.sample_rate:.0f} s takes {patches} positions "
                f"and the context holds {self.backbone.context}; give a larger context "
                f"(at most {self.manifest.backbone.max_positions}) or shorter audio."
            )

    def stream(
        self,
        task: Task,
        cache: PositionCache,
        *,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> Generator[Event, None, None]:
        """Events of a task's answer; see `generate.stream`. `sound=True` is `SoundOptions()`."""
        stages = Stages(
            tokenizer=self.tokenizer,
            layout=self.layout,
            patch_decoder=self.patch_decoder,
            audio_tokenizer=self.audio_tokenizer,
        )
        self.check_memory()
        prompt = self.layout.positions(task.pieces)
        if isinstance(sound, bool):
            return stream(
                cache,
                prompt,
                stages,
                task.options,
                cancel=cancel,
                sound=SoundOptions() if sound else None,
            )
        return stream(cache, prompt, stages, task.options, cancel=cancel, sound=sound)

    def collect(
        self,
        events: Generator[Event, None, None],
        *,
        speaks: bool,
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> Answer:
        """Run a generation to its end; its speech is decoded offline, in one go."""
        return self.answer(self.run_to_end(events, on_text, on_sound), speaks=speaks)

    def run_to_end(
        self,
        events: Generator[Event, None, None],
        on_text: OnText | None = None,
        on_sound: OnSound | None = None,
    ) -> TurnEnd:
        """The last event of a generation."""
        # Closed, not only dropped: the traceback of an error would keep it.
        with contextlib.closing(events):
            for event in events:
                if isinstance(event, TextDelta) and on_text:
                    on_text(event.text)
                if isinstance(event, AudioChunk) and on_sound:
                    on_sound(event.samples)
                if isinstance(event, TurnEnd):
                    return event
        raise RuntimeError("the generation ended without its last event")

    def answer(self, end: TurnEnd, *, speaks: bool) -> Answer:
        """The answer that the last event of a generation describes."""
        thinking, text = self.text_of(end)
        codes = self._speech_codes(end)
        return Answer(
            text=text,
            thinking=thinking,
            audio=self.audio_tokenizer.decode(codes) if speaks and len(codes) else None,
            sample_rate=self.manifest.audio.sample_rate,
            codes=codes,
            reason=end.reason,
            stats=end.stats,
        )

    def text_of(self, end: TurnEnd) -> tuple[str, str]:
        """(thinking, text) of a generation."""
        text = self.tokenizer.decode(end.text_ids.tolist())
        return split_thinking(text)

    def _speech_codes(self, end: TurnEnd) -> NDArray[np.int64]:
        """Codes [steps, channels] of the patches between `<|sostm|>` and `<|eostm|>`."""
        ids = end.text_ids
        starts = np.flatnonzero(ids == self.tokenizer.id("<|sostm|>"))
        ends = np.flatnonzero(ids == self.tokenizer.id("<|eostm|>"))
        spoken = slice(starts[0] if len(starts) else 0, ends[0] if len(ends) else len(ids))
        patches = end.codes[spoken][ids[spoken] == self.layout.empty_id]
        return np.asarray(patches.reshape(-1, self.manifest.patch.channels))

    def close(self) -> None:
        """Free everything."""
        for part in (
            self.backbone,
            self.patch_encoder,
            self.patch_decoder,
            self.audio_tokenizer,
        ):
            part.close()
