"""All parts of a loaded bundle: what loads, holds and frees them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np

from .answer import Answer, OnSound, OnText
from .bundle.files import load_manifest
from .bundle.manifest import Manifest
from .generation.cache_shelf import CacheShelf
from .generation.drafting.chance import row_price
from .generation.events import AudioChunk, Event, TextDelta, TurnEnd
from .generation.generate import Generation
from .generation.position_cache import PositionCache
from .generation.scheduler import Scheduler
from .generation.sound import SoundOptions
from .hearing import Hearing
from .loading import Plan, follows_format, load_backbone, load_patches
from .prompt.positions import Layout, to_patches
from .prompt.text_marks import without_marks
from .prompt.text_tokenizer import TextTokenizer, split_thinking
from .stages.audio_tokenizer import AudioTokenizer
from .stages.backbone import Backbone
from .stages.backbone_draft import DraftModel
from .stages.llama.native import check_process
from .stages.machine.placement import prompt_pieces
from .stages.machine.runtime_options import RuntimeOptions
from .stages.patch_decoder import PatchDecoder
from .stages.patch_encoder import PatchEncoder
from .stages.sampling import GREEDY
from .system.spare_cores import SpareCores
from .tasks import PreparedTask

__all__ = ["Engine", "run_to_end"]


class Engine:
    """Owns the native handles; holds no conversation."""

    def __init__(
        self,
        manifest: Manifest,
        plan: Plan,
        backbone: Backbone,
        patch_encoder: PatchEncoder,
        patch_decoder: PatchDecoder,
        audio_tokenizer: AudioTokenizer,
        draft_model: DraftModel | None = None,
    ) -> None:
        self.manifest = manifest
        self.plan = plan
        """Where each part runs."""
        self._needs = plan.needs
        self.backbone = backbone
        self.patch_encoder = patch_encoder
        self.patch_decoder = patch_decoder
        self.audio_tokenizer = audio_tokenizer
        self._draft_model = draft_model
        self.tokenizer = TextTokenizer(backbone, manifest.special_tokens)
        self.layout = Layout(self.tokenizer, manifest.patch)
        self.hearing = Hearing(
            manifest, audio_tokenizer, context=backbone.context, check_memory=plan.needs.check_step
        )
        self.caches = CacheShelf(backbone, patch_encoder, self.layout)
        pieces = prompt_pieces(
            manifest.backbone_bytes,
            on_gpu=plan.on_gpu,
            chosen=plan.options.prompt_piece,
        )
        guess_price = None
        if plan.options.drafting:
            guess_price = row_price(backbone.threads, on_gpu=plan.on_gpu)
        self.scheduler = Scheduler(self.caches, patch_decoder, pieces)
        self.generation = Generation(
            scheduler=self.scheduler,
            tokenizer=self.tokenizer,
            layout=self.layout,
            audio_tokenizer=audio_tokenizer,
            speaks=manifest.speaks,
            keeps_format=follows_format(manifest, plan.options),
            guess_price=guess_price,
            draft_model=draft_model,
        )

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
        spare_cores = SpareCores()
        with contextlib.ExitStack() as opened:
            plan, backbone = load_backbone(bundle, manifest, options, spare_cores)
            opened.callback(backbone.close)
            plan, hears, speaks = load_patches(bundle, manifest, plan, spare_cores)
            opened.callback(hears.close)
            opened.callback(speaks.close)
            tokenizer = AudioTokenizer.load(bundle, manifest, plan.place, spare_cores)
            opened.callback(tokenizer.close)
            engine = cls(
                manifest,
                plan,
                backbone,
                hears,
                speaks,
                tokenizer,
                draft_model=_draft_model(manifest, plan, backbone),
            )
            opened.pop_all()
        return engine

    def new_cache(self) -> PositionCache:
        """An empty KV cache of one conversation.

        Raises:
            MimoEdgeError: the model is closed.
        """
        return self.caches.new_cache()

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
        if not self.manifest.speaks:  # that is all that a bundle has that only listens
            return
        hidden = np.zeros(self.manifest.backbone.hidden_size, dtype=np.float32)
        self.patch_decoder.decode(hidden, GREEDY, np.random.default_rng(0))
        stream = self.audio_tokenizer.stream(lookahead)
        for _ in range(3):
            stream.push(codes)
        stream.finish()

    def events(
        self,
        task: PreparedTask,
        cache: PositionCache,
        *,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> Generator[Event, None, None]:
        """Events of a task's answer, made in a cache; `sound=True` is `SoundOptions()`.

        Raises:
            MimoEdgeError: the task speaks, and the bundle only listens.
        """
        if task.speaks:
            self.manifest.check_speaks()
        if sound is True:
            sound = SoundOptions()
        self.check_memory()
        prompt = self.layout.positions(task.pieces)
        # Whoever asks for sound in any case gets none from a bundle that only listens.
        decoded = (sound or None) if self.manifest.speaks else None
        return self.generation.events(cache, prompt, task.options, cancel=cancel, sound=decoded)

    def answer(self, end: TurnEnd, *, speaks: bool) -> Answer:
        """The answer that the last event of a generation describes.

        Its speech is decoded offline, in one go.
        """
        thinking, text = self.text_of(end)
        codes = end.codes[end.spoken].reshape(-1, self.manifest.patch.channels)
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
        """(thinking, text) of a generation, without its marks."""
        text = self.tokenizer.decode(end.text_ids.tolist())
        return split_thinking(without_marks(text, end.marks))

    def close(self) -> None:
        """Free everything."""
        for part in (
            self.backbone,
            self.patch_encoder,
            self.patch_decoder,
            self.audio_tokenizer,
        ):
            part.close()
        if self._draft_model is not None:
            self._draft_model.close()


def _draft_model(manifest: Manifest, plan: Plan, backbone: Backbone) -> DraftModel | None:
    """The small model that guesses words, if the options name one.

    Raises:
        MimoEdgeError: it does not load.
    """
    path = plan.options.draft_model
    if path is None or not plan.options.drafting:
        return None
    size, place = manifest.backbone_bytes, plan.place.backbone
    return DraftModel.load(path, backbone, size, plan.options, place)


def run_to_end(
    events: Generator[Event, None, None],
    on_text: OnText | None = None,
    on_sound: OnSound | None = None,
) -> TurnEnd:
    """Take the events of an answer to their end; the last one."""
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
