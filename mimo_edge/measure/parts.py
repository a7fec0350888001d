"""How long the parts of a bundle take on this machine, in every way that they can run here.

    measured = measure_parts(folder, manifest, RuntimeOptions())

Parts are loaded one at a time, and each way by itself, so that nothing else is in the memory of a
GPU. What comes out is kept by `stages.machine.measured` for the programs that run the bundle later.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle.backbone_check import check_backbone
from ..bundle.manifest import BACKBONE_FILE, Manifest
from ..errors import DeviceError, MimoEdgeError
from ..stages.audio_tokenizer import AudioTokenizer
from ..stages.backbone import Backbone
from ..stages.graphs.providers import available_providers
from ..stages.machine.gpu import gpus
from ..stages.machine.gpu_room import settle_device
from ..stages.machine.measured import Measured
from ..stages.machine.patch_place import has_gguf
from ..stages.machine.placement import Placements, Providers, share_cores, useful_threads
from ..stages.machine.runtime_options import RuntimeOptions
from ..stages.patch_decoder import PatchDecoder
from ..stages.patch_encoder import PatchEncoder
from ..stages.sampling import SamplerOptions
from ..system.spare_cores import SpareCores
from .stage_times import median_seconds

__all__ = ["PARTS", "measure_parts", "ways_of_part"]

logger = logging.getLogger(__name__)

PARTS = {
    "backbone": "step",
    "patch_decoder": "patch",
    "patch_encoder": "patch",
    "audio_encoder": "second of sound",
    "audio_decoder": "second of sound",
}
"""Part → what it does in the time that is measured. The audio decoder's is with the vocoder."""
_CPU, _GGUF = "cpu", "gguf "
_POSITIONS = 256
"""In the cache before a step of the backbone."""
_SOUND_S = 2
_SAMPLER = SamplerOptions(temperature=0.9, top_p=0.95)


def ways_of_part(part: str, manifest: Manifest) -> list[str]:
    """In which ways a part of a bundle can run on this machine, by the names of `Measured`."""
    devices = [_CPU, *(gpu.name for gpu in gpus())]
    if part == "backbone":
        return devices
    if part in ("audio_encoder", "audio_decoder"):
        return [provider.name for provider in available_providers()]
    return [_CPU, *(f"{_GGUF}{device}" for device in devices if has_gguf(manifest))]


def measure_parts(
    folder: Path,
    manifest: Manifest,
    options: RuntimeOptions,
    runs: int = 5,
    tell: Callable[[str], object] = lambda _: None,
) -> Measured:
    """Time every part of a bundle in every way; `tell` hears what is being timed.

    A way that fails, because a GPU has no room or a provider cannot compute a graph, is left out,
    with a line in the log.
    """
    seconds: dict[str, dict[str, float]] = {}
    for part in PARTS:
        if not manifest.speaks and part in ("patch_decoder", "audio_decoder"):
            continue
        for way in ways_of_part(part, manifest):
            tell(f"{part.replace('_', ' ')} on {way}")
            try:
                with _opened(part, way, folder, manifest, options) as run:
                    took = median_seconds(run, runs)
            except MimoEdgeError as error:
                logger.warning("%s on %s is left out: %s", part.replace("_", " "), way, error)
                continue
            scale = _SOUND_S if part.startswith("audio") else 1
            seconds.setdefault(part, {})[way] = took / scale
    return Measured(seconds=seconds)


@contextlib.contextmanager
def _opened(
    part: str, way: str, folder: Path, manifest: Manifest, options: RuntimeOptions
) -> Iterator[Callable[[], Any]]:
    """A function that makes a part compute what is timed, loaded for one way."""
    threads, size = useful_threads(options.threads), manifest.backbone_bytes
    if part == "backbone":
        opened = _backbone(way, folder, manifest, options)
    elif part.startswith("patch"):
        opened = _patches(part, way, folder, manifest, share_cores(threads, size))
    else:
        providers = Providers(audio_encoder=way, audio_decoder=way)
        opened = _tokenizer(part, way, folder, manifest, share_cores(threads, size, providers))
    with opened as run:
        yield run


@contextlib.contextmanager
def _patches(
    part: str, way: str, folder: Path, manifest: Manifest, place: Placements
) -> Iterator[Callable[[], Any]]:
    """One patch, of noise, encoded or decoded."""
    stage = place.patch_decoder if part == "patch_decoder" else place.patch_encoder
    if way.startswith(_GGUF):
        stage = replace(stage, form="gguf", device=way.removeprefix(_GGUF))
    rng = np.random.default_rng(0)
    if part == "patch_decoder":
        hidden = rng.standard_normal(manifest.backbone.hidden_size).astype(np.float32)
        decoder = PatchDecoder.load(folder, manifest, stage)
        with contextlib.closing(decoder):
            yield lambda: decoder.decode(hidden, _SAMPLER, rng)
    else:
        patch = manifest.patch
        codes = rng.integers(0, np.array(patch.empty_ids), (1, patch.group_size, patch.channels))
        encoder = PatchEncoder.load(folder, manifest, stage)
        with contextlib.closing(encoder):
            yield lambda: encoder.encode(codes)


@contextlib.contextmanager
def _backbone(
    way: str, folder: Path, manifest: Manifest, options: RuntimeOptions
) -> Iterator[Callable[[], Any]]:
    """A step: the next text id behind `_POSITIONS` others."""
    path = folder / BACKBONE_FILE
    options = settle_device(folder, manifest, replace(options, device=way, gpu_layers=-1))
    place = share_cores(useful_threads(options.threads), manifest.backbone_bytes).backbone
    head = check_backbone(path, manifest)
    backbone = Backbone.load(path, head, manifest.backbone, options, place, SpareCores())
    with contextlib.closing(backbone), contextlib.closing(backbone.new_sequence()) as sequence:
        positions = min(_POSITIONS, backbone.context - 1)
        rows = backbone.embed(np.zeros(positions + 1, dtype=np.int32))
        backbone.evaluate([(sequence, rows[:-1], 0)])

        def step() -> None:
            sequence.truncate(positions)
            backbone.evaluate([(sequence, rows[-1:], 1)])

        yield step


@contextlib.contextmanager
def _tokenizer(
    part: str, way: str, folder: Path, manifest: Manifest, place: Placements
) -> Iterator[Callable[[], Any]]:
    """Encoding or decoding of `_SOUND_S` seconds.

    Raises:
        MimoEdgeError: a graph runs on the processor although another way is to be timed.
    """
    audio = manifest.audio
    noise = np.random.default_rng(0).standard_normal(_SOUND_S * audio.sample_rate)
    samples = (0.1 * noise).astype(np.float32)
    with contextlib.closing(
        AudioTokenizer.load(folder, manifest, place, SpareCores())
    ) as tokenizer:
        codes = tokenizer.encode(samples)[:, : manifest.patch.channels]
        run = (
            (lambda: tokenizer.encode(samples))
            if part == "audio_encoder"
            else (lambda: tokenizer.decode(codes))
        )
        run()
        used = tokenizer.providers()[:1] if part == "audio_encoder" else tokenizer.providers()[1:]
        if set(used) != {way}:
            raise DeviceError("the provider cannot compute it")
        yield run
