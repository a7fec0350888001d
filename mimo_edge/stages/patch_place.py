"""Where patch encoder and patch decoder compute: as graphs in onnxruntime, or in llama.cpp.

The graphs are the contract, and on a processor the quicker ones. The GGUF files beside them, which
a bundle may have, run on a GPU. Which of them is quicker on a machine can be measured once and
remembered in a small file of the user's cache.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path

from ..atomic import atomic_output, output_errors
from ..bundle.manifest import OPTIONAL_PARTS, Manifest
from ..errors import BadInputError
from .gpu import gpu_layers
from .placement import PatchForm, Placement, Placements
from .runtime_options import RuntimeOptions

__all__ = ["has_gguf", "patch_form", "place_patches", "remember_form", "remembered_form"]

_FORMS: tuple[PatchForm, ...] = ("onnx", "gguf")
_MOST_REMEMBERED = 64
_LONGEST = 1 << 16
"""Bytes of the file."""


def has_gguf(manifest: Manifest) -> bool:
    """Whether a bundle holds a GGUF of each of its patch stages."""
    parts = manifest.precisions
    return all(name in parts for name, graph in OPTIONAL_PARTS.items() if graph in parts)


def patch_form(manifest: Manifest, options: RuntimeOptions) -> PatchForm:
    """The form that these options choose.

    With `auto`, what was measured on this device; else the GGUF where the backbone is on a GPU.

    Raises:
        MimoEdgeError: the GGUF files are asked for, and the bundle has none.
    """
    if options.patches == "gguf" and not has_gguf(manifest):
        raise BadInputError(
            "the patch stages are to run in llama.cpp, and this bundle has no GGUF of them; leave "
            "that choice to the program, or convert again with --patch-decoder gguf."
        )
    if options.patches != "auto":
        return options.patches
    if not has_gguf(manifest):
        return "onnx"
    device = _device(options)
    return remembered_form(manifest, device) or ("onnx" if device == "cpu" else "gguf")


def place_patches(manifest: Manifest, options: RuntimeOptions, place: Placements) -> Placements:
    """The same placements, with the form and the device of both patch stages.

    Raises:
        MimoEdgeError: the GGUF files are asked for, and the bundle has none.
    """
    form, device = patch_form(manifest, options), _device(options)
    exact = options.kv_type == "f32"

    def placed(stage: Placement) -> Placement:
        return replace(stage, form=form, device=device, exact=exact)

    return replace(
        place,
        patch_encoder=placed(place.patch_encoder),
        patch_decoder=placed(place.patch_decoder),
    )


def remembered_form(manifest: Manifest, device: str, file: Path | None = None) -> PatchForm | None:
    """What `remember_form` was told of this bundle on this device (`RuntimeOptions.device`).

    None where nothing was, or where the file cannot be read. `file` None: the user's own.
    """
    path = file or _file()
    found = _read(path).get(_key(manifest, device)) if path else None
    return next((form for form in _FORMS if form == found), None)


def remember_form(
    manifest: Manifest, device: str, form: PatchForm, file: Path | None = None
) -> None:
    """Keep for later runs which form of this bundle was the quicker one on this device.

    `file` None: the user's own; without the package `platformdirs` nothing is kept.

    Raises:
        MimoEdgeError: it cannot be written.
    """
    path = file or _file()
    if path is None:
        return
    known = _read(path)
    known.pop(_key(manifest, device), None)
    kept = dict(list(known.items())[1 - _MOST_REMEMBERED :])
    kept[_key(manifest, device)] = form
    with output_errors(path, "make room, or mend its permissions"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path) as out:
        out.write(json.dumps(kept, indent=1).encode())


def _device(options: RuntimeOptions) -> str:
    return options.device if gpu_layers(options) else "cpu"


def _key(manifest: Manifest, device: str) -> str:
    return f"{manifest.fingerprint()[:16]} on {device}"


def _file() -> Path | None:
    try:
        import platformdirs  # of the extras: a program that only runs a model does without
    except ImportError:
        return None
    return platformdirs.user_cache_path("mimo_edge", appauthor=False) / "patch_forms.json"


def _read(path: Path) -> dict[str, object]:
    """Nothing, if the file is not there or something else."""
    with contextlib.suppress(OSError, ValueError):
        if path.stat().st_size <= _LONGEST:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
    return {}
