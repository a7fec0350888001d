"""What models need of this machine: a bundle, and before a download the released 7B model."""

from __future__ import annotations

from dataclasses import dataclass

from ..bundle.manifest import Manifest
from ..stages.machine_needs import memory_verdict, size_of_bundle, speed_verdict
from ..stages.runtime_options import RuntimeOptions
from .machine import Machine
from .released import CHECKPOINT_BYTES, INTERMEDIATE_BYTES, RELEASED_CONTEXT, released_sizes

__all__ = ["Needs", "ReleasedNeeds", "needs_of_bundle", "needs_of_released"]


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a bundle can and needs of a machine, and whether the machine has it."""

    memory: dict[str, float]
    """Bytes of the weights, the cache and the buffers."""
    fits: str
    """Whether there is so much memory, in words."""
    seconds_per_second_of_speech: float | None
    """An estimate; None: it cannot be told, or the bundle does not speak."""
    speaks: bool
    """Whether the bundle has its speaking half."""


@dataclass(frozen=True, kw_only=True)
class ReleasedNeeds:
    """What the released 7B model would need of a machine in one recipe."""

    recipe: str
    seconds_per_second_of_speech: float | None
    """An estimate; None: it cannot be told."""
    speed: str | None
    """Whether that is fast enough to speak without breaks, in words; None: it cannot be told."""
    bytes_per_second_of_speech: float
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
    manifest: Manifest, machine: Machine, options: RuntimeOptions, positions: int
) -> Needs:
    """What a bundle needs for a conversation of so many positions."""
    size = size_of_bundle(manifest)
    need = size.memory(options, positions)
    return Needs(
        memory=need,
        fits=memory_verdict(sum(need.values()), machine.memory_available, machine.memory_total),
        seconds_per_second_of_speech=machine.speech_seconds(size) if manifest.speaks else None,
        speaks=manifest.speaks,
    )


def needs_of_released(machine: Machine) -> list[ReleasedNeeds]:
    """What the released 7B model needs, from the smallest recipe to the largest."""
    needs = []
    for recipe, size in released_sizes().items():
        memory = sum(size.memory(RuntimeOptions(), RELEASED_CONTEXT).values())
        seconds = machine.speech_seconds(size)
        intermediate = 0 if recipe == "reference" else INTERMEDIATE_BYTES
        needs.append(
            ReleasedNeeds(
                recipe=recipe,
                seconds_per_second_of_speech=seconds,
                speed=speed_verdict(seconds) if seconds is not None else None,
                bytes_per_second_of_speech=size.bytes_per_second_of_speech(
                    backbone_on_gpu=machine.backbone_on_gpu
                ),
                memory=memory,
                fits=memory_verdict(memory, machine.memory_available, machine.memory_total),
                bundle=size.weights,
                disk=CHECKPOINT_BYTES + intermediate + size.weights,
            )
        )
    return needs
