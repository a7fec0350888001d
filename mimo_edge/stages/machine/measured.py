"""What `mimo-edge info --measure` found out about a bundle on this machine, kept in a file.

A part can often be computed in several ways: on the processor, on a GPU, with a provider of
onnxruntime. Which is quickest depends on the machine, so it is timed once and remembered. A file is
for one bundle, the versions of the libraries, the processor and the GPUs: if any of them changes,
it is as if nothing was measured.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, ClassVar

import platformdirs
from pydantic import ConfigDict, Field

from ...atomic import atomic_output, output_errors
from ...bundle.manifest import Manifest
from ...bundle.untrusted_json import parse_json, validate
from ...system.cores import processor_name
from .gpu import gpus

__all__ = ["Measured", "best_way", "measured_file", "read_measured", "write_measured"]

logger = logging.getLogger(__name__)

_LIBRARIES = ("mimo-edge", "llama-cpp-python", "onnxruntime")
_MOST_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds that parts of a bundle took, in each way that was tried."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    seconds: dict[str, dict[str, Annotated[float, Field(gt=0)]]] = field(default_factory=dict)
    """Part → way → seconds. Parts: "backbone" (a step), "patch_decoder" (a patch), "patch_encoder"
    (a patch), "audio_encoder", "audio_decoder" (a second of sound). Ways of the backbone: "cpu" and
    names of GPUs; of graphs: names of `graph_providers`; of parts that are also there as a GGUF:
    "gguf" before such a name, as "gguf cpu" and "gguf Vulkan0"."""


def best_way(measured: Measured | None, part: str, ways: Sequence[str], otherwise: str) -> str:
    """The quickest of the ways in which a part can run here.

    Args:
        measured: what is known; None: nothing.
        part: as in `Measured.seconds`.
        ways: those that are possible now.
        otherwise: what to take where this one or all others were never timed.
    """
    known: Mapping[str, float] = measured.seconds.get(part, {}) if measured else {}
    timed = [way for way in ways if way in known]
    return min(timed, key=known.__getitem__) if otherwise in timed else otherwise


def measured_file(manifest: Manifest) -> Path:
    """Where the measurements of a bundle are, on this machine as it is now; it may not exist."""
    key = {
        "bundle": manifest.fingerprint(),
        "versions": [_version(library) for library in _LIBRARIES],
        "processor": [platform.machine(), processor_name()],
        "gpus": [[gpu.name, gpu.description] for gpu in gpus()],
    }
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    folder = platformdirs.user_cache_path("mimo_edge", appauthor=False) / "measured"
    return folder / f"{name}.json"


def read_measured(manifest: Manifest) -> Measured | None:
    """What was measured of a bundle; None: nothing yet, or with other versions or devices."""
    path = measured_file(manifest)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError("it is too long")
        return validate(Measured, parse_json(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning(
            "%s is not used (%s); `mimo-edge info --measure` writes it anew.", path, error
        )
        return None


def write_measured(manifest: Manifest, measured: Measured) -> Path:
    """Keep measurements for `read_measured`; where.

    Raises:
        MimoEdgeError: the file cannot be written.
    """
    path = measured_file(manifest)
    with output_errors(path, "make that folder writable to keep what was measured"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path) as file:
        file.write(json.dumps({"seconds": measured.seconds}, indent=1).encode())
    return path


def _version(library: str) -> str:
    """Of an installed library; empty where it cannot be told, as in a packed program."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""
