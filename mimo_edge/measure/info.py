"""What models need of this machine: a bundle, and before a download the released 7B model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..bundle.manifest import Manifest
from ..loading import follows_format
from ..stages.machine.machine_needs import memory_verdict, size_of_bundle
from ..stages.machine.measured import read_measured
from ..stages.machine.patch_place import patch_form
from ..stages.machine.runtime_options import RuntimeOptions
from .machine import Machine
from .released import CHECKPOINT_BYTES, INTERMEDIATE_BYTES, RELEASED_CONTEXT, released_models
from .speech_cost import (
    KINDS,
    Kind,
    read_bytes_of_bundle,
    released_ways,
    speech_bytes,
    speed_verdict,
    ways_of,
)

__all__ = ["Needs", "ReleasedNeeds", "needs_of_bundle", "needs_of_released"]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a bundle can and needs of a machine, and whether the machine has it."""

    memory: dict[str, float]
    """Bytes of the weights, the cache and the buffers."""
    fits: str
    """Whether there is so much memory, in words."""
    seconds_per_second_of_speech: dict[Kind, float | None]
    """Estimates; None: it cannot be told, or the bundle does not speak."""
    speaks: bool
    """Whether the bundle has its speaking half."""


@dataclass(frozen=True, kw_only=True)
class ReleasedNeeds:
    """What the released 7B model would need of a machine in one recipe."""

    recipe: str
    seconds_per_second_of_speech: dict[Kind, float | None]
    """Estimates; None: it cannot be told."""
    speed: str | None
    """Whether a dialogue is fast enough to be spoken without breaks, in words; None: it cannot be
    told."""
    bytes_per_second_of_speech: dict[Kind, float]
    """Bytes that the processor reads from memory for a second of speech."""
    memory: float
    """Bytes of the weights, the buffers and a conversation of `RELEASED_CONTEXT` positions."""
    fits: str
    """Whether there is so much memory, in words."""
    bundle: int
    """Bytes of the finished bundle."""
    disk: int
    """Bytes that download and conversion need at their peak."""


def needs_of_bundle(
    folder: Path, manifest: Manifest, machine: Machine, options: RuntimeOptions, positions: int
) -> Needs:
    """What a bundle needs for a conversation of so many positions."""
    need = size_of_bundle(manifest).memory(options.kv_type_for(manifest.backbone), positions)
    seconds: dict[Kind, float | None] = dict.fromkeys(KINDS)
    if manifest.speaks:
        form = patch_form(manifest, options, read_measured(manifest))
        read = read_bytes_of_bundle(folder, manifest, form)
        ways = ways_of(options, skips_head=follows_format(manifest, options), manifest=manifest)
        seconds = {kind: machine.speech_seconds(read, kind, ways) for kind in KINDS}
    return Needs(
        memory=need,
        fits=memory_verdict(sum(need.values()), machine.memory_available, machine.memory_total),
        seconds_per_second_of_speech=seconds,
        speaks=manifest.speaks,
    )


def needs_of_released(machine: Machine) -> list[ReleasedNeeds]:
    """What the released 7B model needs, from the smallest recipe to the largest."""
    needs, options = [], RuntimeOptions()
    ways = replace(released_ways(options), backbone_on_gpu=machine.backbone_on_gpu)
    for recipe, model in released_models().items():
        memory = sum(model.size.memory(options.kv_type, RELEASED_CONTEXT).values())
        seconds = {kind: machine.speech_seconds(model.read, kind, ways) for kind in KINDS}
        dialogue = seconds["dialogue"]
        intermediate = 0 if recipe == "reference" else INTERMEDIATE_BYTES
        needs.append(
            ReleasedNeeds(
                recipe=recipe,
                seconds_per_second_of_speech=seconds,
                speed=speed_verdict(dialogue) if dialogue is not None else None,
                bytes_per_second_of_speech={
                    kind: sum(speech_bytes(model.read, kind, ways).values()) for kind in KINDS
                },
                memory=memory,
                fits=memory_verdict(memory, machine.memory_available, machine.memory_total),
                bundle=model.size.weights,
                disk=CHECKPOINT_BYTES + intermediate + model.size.weights,
            )
        )
    return needs
