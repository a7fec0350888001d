"""Where patch encoder and patch decoder compute: as graphs in onnxruntime, or in llama.cpp.

The graphs are the contract, and on a processor the quicker ones: with two threads a patch of the
released dimensions took 62 ms, two at once 63 and four 84; the GGUF 83, 166 and 231, and with
repacked weights 60, 97 and 167. The GGUF files beside them, which a bundle may have, are for a GPU.
Which form is quicker on a machine can be measured once (`stages.machine.measured`).
"""

from __future__ import annotations

from dataclasses import replace

from ...bundle.manifest import OPTIONAL_PARTS, Manifest
from ...errors import BadInputError
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
    *,
    repack: bool = False,
) -> Placements:
    """The same placements, with the form and the device of both patch stages.

    `repack`: whether weights are laid out anew for the processor (`stages.machine.repacking`).

    Raises:
        MimoEdgeError: the GGUF files are asked for, and the bundle has none.
    """
    form, device = patch_form(manifest, options, measured), _device(options)

    def placed(stage: Placement) -> Placement:
        if form == "onnx":
            return stage
        on_cpu = device == "cpu"
        # llama.cpp's threads change their number from step to step, so all may be used.
        threads = place.backbone.threads if on_cpu else stage.threads
        return replace(
            stage,
            form=form,
            device=device,
            exact=options.kv_type == "f32",
            threads=threads,
            makes_way=on_cpu and place.backbone.makes_way,
            repack=on_cpu and repack,
        )

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
