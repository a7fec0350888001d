"""Which part of a bundle runs where, and loading those that may run on a GPU.

A GPU with enough memory can fail all the same: another program takes what is left, or its driver
has a fault. If nobody asked for the GPU, the processor takes over, with a line in the log; if
somebody did, it is an error. So both caches are allocated here.
(What ends the process itself, as some drivers do, cannot be caught.)
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .bundle.backbone_check import check_backbone
from .bundle.gguf_header import GgufTensor
from .bundle.manifest import BACKBONE_FILE, Manifest
from .errors import NoMemoryError
from .stages.backbone import Backbone
from .stages.graphs.providers import choose_providers
from .stages.machine.gpu import GpuFailedError, gpu_layers, is_chosen_here
from .stages.machine.gpu_room import settle_device
from .stages.machine.measured import Measured, read_measured
from .stages.machine.memory_needs import MemoryNeeds
from .stages.machine.patch_place import patches_on_processor, place_patches
from .stages.machine.placement import LARGE_BYTES, Placements, share_cores, useful_threads
from .stages.machine.repacking import repacks
from .stages.machine.runtime_options import RuntimeOptions
from .stages.patch_decoder import PatchDecoder
from .stages.patch_encoder import PatchEncoder
from .system.spare_cores import SpareCores
from .trained_tasks import keeps_speech_format

__all__ = ["Plan", "follows_format", "load_backbone", "load_patches"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Where the parts of a bundle run."""

    options: RuntimeOptions
    """With a device and a number of layers that are certain."""
    place: Placements
    needs: MemoryNeeds
    repack: bool

    @classmethod
    def of(
        cls,
        bundle: Path,
        manifest: Manifest,
        options: RuntimeOptions,
        measured: Measured | None,
    ) -> Plan:
        """What suits this bundle on this machine, as it is now.

        Raises:
            MimoEdgeError: what the options ask for is not to be had.
        """
        options = settle_device(bundle, manifest, options, measured)
        providers = choose_providers(options.provider, measured)
        place = share_cores(useful_threads(options.threads), manifest.backbone_bytes, providers)
        threads = place.backbone.threads
        repack = repacks(manifest, options, threads)
        place = place_patches(manifest, options, place, measured, repack=repack)
        needs = MemoryNeeds.of(manifest, options, threads, repack=repack)
        return cls(options=options, place=place, needs=needs, repack=repack)

    @property
    def on_gpu(self) -> bool:
        """Whether the backbone is on a GPU, or layers of it."""
        return gpu_layers(self.options) != 0

    @property
    def patches_on_gpu(self) -> bool:
        """The same of patch encoder and patch decoder."""
        return self.place.patch_decoder.form == "gguf" and self.on_gpu


def load_backbone(
    bundle: Path, manifest: Manifest, options: RuntimeOptions, spare_cores: SpareCores
) -> tuple[Plan, Backbone]:
    """The backbone, and where it and all other parts are to run after all.

    Raises:
        MimoEdgeError: it does not load, neither where these options want it nor, if they leave the
            device to this program, on the processor.
    """
    head = check_backbone(bundle / BACKBONE_FILE, manifest)
    measured = read_measured(manifest)

    def loaded(plan: Plan) -> tuple[Plan, Backbone]:
        return plan, _backbone(bundle, head, manifest, plan, spare_cores)

    plan = Plan.of(bundle, manifest, options, measured)
    try:
        return loaded(plan)
    except (GpuFailedError, NoMemoryError) as error:
        if not (plan.on_gpu and is_chosen_here(options)):
            raise
        _tell(plan.options.device, "the model", error)
    return loaded(Plan.of(bundle, manifest, replace(options, device="cpu"), measured))


def load_patches(
    bundle: Path, manifest: Manifest, plan: Plan, spare_cores: SpareCores
) -> tuple[Plan, PatchEncoder, PatchDecoder]:
    """Patch encoder and patch decoder, and the plan with the form that they have after all.

    Raises:
        MimoEdgeError: one does not load in the form that the options name, or in neither.
    """
    try:
        return plan, *_patches(bundle, manifest, plan.place, spare_cores)
    except (GpuFailedError, NoMemoryError) as error:
        if plan.options.patches != "auto" or plan.place.patch_decoder.device == "cpu":
            raise
        _tell(plan.options.device, "patches of sound", error)
    plan = replace(plan, place=patches_on_processor(plan.place))
    return plan, *_patches(bundle, manifest, plan.place, spare_cores)


def follows_format(manifest: Manifest, options: RuntimeOptions) -> bool:
    """Whether text ids that the format of a spoken answer rules out are not even looked at.

    A small model reads its head from the processor's cache, and a GPU is quick: there it is not
    worth a callback.
    """
    if options.full_head is not None:
        return not options.full_head
    return _reads_slowly(manifest, options) and keeps_speech_format(manifest)


def _reads_slowly(manifest: Manifest, options: RuntimeOptions) -> bool:
    """Whether a step takes so long that half a millisecond for a callback does not count."""
    return manifest.backbone_bytes > LARGE_BYTES and not gpu_layers(options)


def _backbone(
    bundle: Path, head: GgufTensor, manifest: Manifest, plan: Plan, spare_cores: SpareCores
) -> Backbone:
    plan.needs.check_model()
    backbone = Backbone.load(
        bundle / BACKBONE_FILE,
        head,
        manifest.backbone,
        plan.options,
        plan.place.backbone,
        spare_cores,
        repack=plan.repack,
        looks_inside=not plan.on_gpu
        and (follows_format(manifest, plan.options) or _reads_slowly(manifest, plan.options)),
    )
    with _closed_by_errors(backbone):
        if not plan.on_gpu:
            plan.needs.check_cache()
        # Now, as long as the graphs are not in memory: for a moment all of the cache is.
        backbone.opened()
    return backbone


def _patches(
    bundle: Path, manifest: Manifest, place: Placements, spare_cores: SpareCores
) -> tuple[PatchEncoder, PatchDecoder]:
    encoder = PatchEncoder.load(bundle, manifest, place.patch_encoder, spare_cores)
    with _closed_by_errors(encoder):
        decoder = PatchDecoder.load(bundle, manifest, place.patch_decoder, spare_cores)
        return encoder, decoder


@contextlib.contextmanager
def _closed_by_errors(part: Backbone | PatchEncoder) -> Iterator[None]:
    try:
        yield
    except BaseException:
        part.close()
        raise


def _tell(device: str, what: str, error: Exception) -> None:
    """Say in the log that the processor takes over."""
    reason = error.reason if isinstance(error, GpuFailedError) else str(error).split(";")[0]
    logger.warning("%s does not take %s (%s); the processor does it.", device, what, reason)
