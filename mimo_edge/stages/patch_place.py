"""Where patch encoder and patch decoder compute: as graphs in onnxruntime, or in llama.cpp.

The graphs are the contract, and on a processor the quicker ones. The GGUF files beside them, which
a bundle may have, run on a GPU. Which of them is quicker on a machine can be measured once
(`stages.measured`).
"""

from __future__ import annotations

from dataclasses import replace

from ..bundle.manifest import OPTIONAL_PARTS, Manifest
from ..errors import BadInputError
from .gpu import gpu_layers
from .measured import Measured, best_way
from .placement import PatchForm, Placement, Placements
from .runtime_options import RuntimeOptions

__all__ = ["has_gguf", "patch_form", "patches_on_processor", "place_patches"]


def has_gguf(manifest: Manifest) -> bool:
    """Whether a bundle holds a GGUF of each of its patch stages."""
    parts = manifest.precisions
    return all(name in parts for name, graph in OPTIONAL_PARTS.items() if graph in parts)


def patch_form(
    manifest: Manifest, options: RuntimeOptions, measured: Measured | None = None
) -> PatchForm:
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
    graph, gguf = "cpu", f"gguf {_device(options)}"
    usual = graph if _device(options) == "cpu" else gguf
    # One decision for both: the decoder takes ten times as long as the encoder.
    return "onnx" if best_way(measured, "patch_decoder", [graph, gguf], usual) == graph else "gguf"


def place_patches(
    manifest: Manifest,
    options: RuntimeOptions,
    place: Placements,
    measured: Measured | None = None,
) -> Placements:
    """The same placements, with the form and the device of both patch stages.

    Raises:
        MimoEdgeError: the GGUF files are asked for, and the bundle has none.
    """
    form, device = patch_form(manifest, options, measured), _device(options)
    exact = options.kv_type == "f32"

    def placed(stage: Placement) -> Placement:
        return replace(stage, form=form, device=device, exact=exact)

    return replace(
        place,
        patch_encoder=placed(place.patch_encoder),
        patch_decoder=placed(place.patch_decoder),
    )


def patches_on_processor(place: Placements) -> Placements:
    """The same placements, with both patch stages as graphs."""
    return replace(
        place,
        patch_encoder=replace(place.patch_encoder, form="onnx", device="cpu"),
        patch_decoder=replace(place.patch_decoder, form="onnx", device="cpu"),
    )


def _device(options: RuntimeOptions) -> str:
    return options.device if gpu_layers(options) else "cpu"
