"""What a second of speech costs: the bytes that are read for it, and the seconds that this takes.

Speaking is bound by the memory's speed: every token and patch reads the backbone once, every patch
the patch decoder once per step. So both can be told from the sizes of the weights and the speed of
the memory, before the model is even there. The seconds are an estimate: `mimo-edge bench` measures.

There are two kinds of speech. In a *dialogue* the model finds its words itself. Where it *speaks* a
given text, the words are guessed, and read off together with the patch before them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..bundle.gguf_header import read_header
from ..bundle.manifest import BACKBONE_FILE, Manifest
from ..generation.drafting.chance import row_price
from ..prompt.positions import TEXT_RUN
from ..stages.machine.gpu import gpu_layers
from ..stages.machine.machine_needs import KV_BYTES
from ..stages.machine.measured import read_measured
from ..stages.machine.patch_place import patch_form
from ..stages.machine.placement import PatchForm
from ..stages.machine.runtime_options import RuntimeOptions

__all__ = [
    "KINDS",
    "POSITIONS",
    "TOKENS_PER_PATCH",
    "Kind",
    "ReadBytes",
    "Stage",
    "Ways",
    "read_bytes_of_bundle",
    "released_ways",
    "seconds_of_speech",
    "speech_bytes",
    "speed_verdict",
    "steps_of_a_second",
    "ways_of",
]

Kind = Literal["dialogue", "speak"]
KINDS: tuple[Kind, ...] = ("dialogue", "speak")
Stage = Literal["backbone", "text head", "cache", "patch decoder", "patch encoder"]

POSITIONS = 512
"""Positions in the cache for which the figures hold: 50 seconds of a dialogue."""
TOKENS_PER_PATCH = 0.6
"""Text tokens that go with a patch: 3.75 with a second of the released model's speech."""
RIGHT_GUESSES = 1.0
"""Of the tokens of a text that is given, so many are said as they stand there. The demo model said
131 of 131; what the released one does is not known."""
_BACKBONE_SHARE, _PATCH_SHARE = 0.9, 0.75
"""How much of the memory's speed each stage reached where it was measured (README, Hardware)."""
_WEIGHTS_PER_CORE = 29e9
"""Weights of the backbone that a core multiplies in a second, in a whole step. With few cores that
limits, not the memory: two of an AMD EPYC (AVX-512) took 119 ms for the released model's 6.95
billion in 4 bits, of which the memory would have needed 79."""
_SOUND_CORE_S = 0.35
"""Seconds of a core by which the sound of a second of speech, decoded meanwhile, holds up the rest:
0.17 s with two cores of that processor, which have 0.25 to do for it."""
_CALM_REAL_TIME = 0.8
"""Above it a busy machine falters."""
_CACHED_BYTES = 1 << 28
"""Smaller models largely stay in the processor's caches: the memory's speed says nothing."""


@dataclass(frozen=True, kw_only=True)
class ReadBytes:
    """The bytes that each step of a model reads."""

    blocks: int
    """The backbone's layers: for every token and every patch."""
    head: int
    """The matrix that gives the likelihood of every text token."""
    cached_values: int
    """Numbers in the KV cache for each position behind which a token or a patch comes."""
    patch_decoder: int
    """All steps of one patch."""
    patch_encoder: int
    """One patch."""
    patches_per_second: float
    """Patches in a second of speech."""
    weights: int
    """Numbers that the backbone's layers consist of, whatever their bits."""

    @property
    def large(self) -> bool:
        """Whether memory limits its speed: a small model stays in the processor's caches."""
        return self.blocks + self.patch_decoder >= _CACHED_BYTES


@dataclass(frozen=True, kw_only=True)
class Ways:
    """In which ways a model runs, as far as they change what is read."""

    skips_head: bool = False
    """Whether the head is left out where the next text token is certain."""
    drafts: bool = False
    """Whether the tokens of a text that is given are guessed."""
    cache_bytes: float = 2.0
    """Of a number in the KV cache."""
    backbone_on_gpu: bool = False
    """Then nothing of it is read from the processor's memory."""
    patches_on_gpu: bool = False
    """The same of patch encoder and patch decoder."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How often each step is taken for a second of speech."""

    patches: float
    readings: float
    """Of the backbone's layers."""
    heads: float
    """Of the text head."""
    guesses: float
    """Tokens that are read off beside the position before them."""


def steps_of_a_second(kind: Kind, patches: float, ways: Ways) -> Steps:
    """The steps for a second of speech that has so many patches."""
    tokens = TOKENS_PER_PATCH * patches
    saved = choices = tokens
    if kind == "speak" and ways.drafts:
        # One reading checks a run of guesses; where one is wrong, another one goes on from there.
        saved = tokens * RIGHT_GUESSES
        choices = tokens / TEXT_RUN + tokens - saved
    else:
        saved = 0.0
    readings = patches + tokens - saved
    return Steps(
        patches=patches,
        readings=readings,
        heads=choices if ways.skips_head else readings,
        guesses=tokens if saved else 0.0,
    )


def speech_bytes(read: ReadBytes, kind: Kind, ways: Ways) -> dict[Stage, float]:
    """Stage → bytes that the processor reads from memory for a second of speech."""
    steps = steps_of_a_second(kind, read.patches_per_second, ways)
    cache = read.cached_values * ways.cache_bytes * POSITIONS
    of_backbone: dict[Stage, float] = {
        "backbone": steps.readings * read.blocks,
        "text head": steps.heads * read.head,
        "cache": steps.readings * cache,
    }
    of_patches: dict[Stage, float] = {
        "patch decoder": steps.patches * read.patch_decoder,
        "patch encoder": steps.patches * read.patch_encoder,
    }
    read_here = {} if ways.backbone_on_gpu else of_backbone
    return read_here if ways.patches_on_gpu else read_here | of_patches


def seconds_of_speech(
    read: ReadBytes,
    kind: Kind,
    ways: Ways,
    bandwidth: float,
    *,
    patch_bandwidth: float | None = None,
    threads: int,
) -> float | None:
    """About how long a second of speech takes where memory gives `bandwidth` bytes/s.

    `patch_bandwidth` is what it gives to the few threads of the patch decoder, if less; `threads`
    are those of the backbone. Below 1 is real time. None: the model is so small that memory is not
    what limits it, or all of it is on a GPU. A backbone on a GPU is taken to cost nothing.
    """
    if not read.large or (ways.backbone_on_gpu and ways.patches_on_gpu):
        return None
    steps = steps_of_a_second(kind, read.patches_per_second, ways)
    of_patches = min(bandwidth, patch_bandwidth or bandwidth) * _PATCH_SHARE
    seconds = 0.0
    arithmetic = read.weights / _WEIGHTS_PER_CORE / threads
    for stage, size in speech_bytes(read, kind, ways).items():
        is_patch = stage in ("patch decoder", "patch encoder")
        reading = size / (of_patches if is_patch else bandwidth * _BACKBONE_SHARE)
        # Reading and multiplying go on at the same time: the slower of them counts.
        seconds += max(reading, steps.readings * arithmetic) if stage == "backbone" else reading
    if not ways.backbone_on_gpu:
        guess = row_price(threads, on_gpu=False) * read.blocks / bandwidth / _BACKBONE_SHARE
        seconds += steps.guesses * guess
    return seconds + _SOUND_CORE_S / threads


def ways_of(options: RuntimeOptions, *, skips_head: bool, manifest: Manifest | None = None) -> Ways:
    """In which ways a model runs under these options; without a `manifest`, its patches on the
    processor and its heads as any number type of the cache wants them."""
    kv_type = options.kv_type if manifest is None else options.kv_type_for(manifest.backbone)
    on_gpu = gpu_layers(options) != 0
    form = "onnx" if manifest is None else patch_form(manifest, options, read_measured(manifest))
    return Ways(
        skips_head=skips_head,
        drafts=options.drafting,
        cache_bytes=KV_BYTES[kv_type],
        backbone_on_gpu=on_gpu,
        patches_on_gpu=on_gpu and form == "gguf",
    )


def released_ways(options: RuntimeOptions) -> Ways:
    """In which ways the released model, which keeps the format of speech, runs under these."""
    return ways_of(options, skips_head=not options.full_head)


def read_bytes_of_bundle(
    folder: Path, manifest: Manifest, patches: PatchForm = "onnx"
) -> ReadBytes:
    """What the steps of a bundle read, from its files; all of them were checked before.

    `patches` is the form of patch encoder and patch decoder. Of a bundle that only listens, nothing
    is read for the patch decoder, which it lacks.
    """
    audio, patch, backbone = manifest.audio, manifest.patch, manifest.backbone
    size = {file.name: file.size for file in manifest.files}
    tensors = read_header(folder / BACKBONE_FILE).tensors
    table = tensors["token_embd.weight"]  # single rows of it are read, unless it is the head, too
    head = tensors.get("output.weight", table)
    layers = [tensor for tensor in tensors.values() if tensor not in (table, head)]
    ending = ".onnx.data" if patches == "onnx" else ".gguf"
    decoder, encoder = (size.get(name + ending, 0) for name in ("patch_decoder", "patch_encoder"))
    return ReadBytes(
        blocks=sum(tensor.size for tensor in layers),
        weights=sum(math.prod(tensor.shape) for tensor in layers),
        head=head.size,
        cached_values=backbone.cached_values,
        patch_decoder=decoder * patch.decode_steps,
        patch_encoder=encoder,
        patches_per_second=audio.sample_rate / audio.samples_per_step / patch.group_size,
    )


def speed_verdict(seconds: float) -> str:
    """In words what so many seconds per second of speech mean for whoever listens."""
    if seconds < _CALM_REAL_TIME:
        return "real time"
    if seconds <= 1:
        return "real time, just"
    return f"{seconds:.1f} times slower"
