"""Whether llama.cpp runs on this processor, tried in a child process.

A llama.cpp that was built for another processor, or by a compiler that miscompiles the kernels
for Intel's AMX (GCC before 12.4 and 13.3), dies of an illegal instruction. Nothing in this process
could catch that, so a child goes first, with the small demo model.

    python -m mimo_edge.stages.llama.native_probe   # exit 0: all runs; 1: a sentence says why not
"""

from __future__ import annotations

import functools
import subprocess
import sys

from ...bundle.default_bundle import demo_bundle
from ...errors import BadInputError
from ...installation import python_command

__all__ = ["check_repacked", "kernels", "native_complaint"]

_MODULE = "mimo_edge.stages.llama.native_probe"
_POSITIONS = 40
"""Enough for the kernels that take a whole block of positions at once, and for those of one."""
_PATIENCE_S = 120.0
_CRASHES = {
    -4: "it dies of an illegal instruction",
    -6: "it aborts",
    -7: "it dies of a bus error",
    -8: "it dies of an arithmetic error",
    -11: "it dies of a segmentation fault",
    0xC000001D: "it dies of an illegal instruction",
    0xC0000005: "it dies of an access violation",
}
"""Exit statuses of a child that crashed: signals, and Windows' exception codes."""
_REBUILD = (
    "build it again on this machine: CFLAGS='-mno-amx-tile -mno-amx-int8 -mno-amx-bf16' "
    'CXXFLAGS="$CFLAGS" pip install --force-reinstall --no-cache-dir llama-cpp-python'
)


def check_repacked() -> None:
    """Refuse repacked weights where the processor's kernels for them do not run.

    Raises:
        MimoEdgeError: what happened, and how to build llama.cpp without the fault.
    """
    if complaint := native_complaint(repack=True):
        raise BadInputError(
            f"weights cannot be repacked with this llama.cpp ({complaint}); leave them as they "
            f"are, or {_REBUILD}."
        )


def kernels() -> str:
    """What llama.cpp says it was built with and finds here, as `AVX2 = 1 | REPACK = 1`."""
    import llama_cpp

    from .libraries import load_libraries

    load_libraries()
    return bytes(llama_cpp.llama_print_system_info()).decode(errors="replace")


@functools.lru_cache(maxsize=2)
def native_complaint(*, repack: bool) -> str | None:
    """How a child that evaluates a few positions of the demo model fails; None if it does not.

    One run of a second per process and way. Without the demo model nothing is tried.
    """
    if demo_bundle() is None:
        return None
    command = python_command(_MODULE, "repacked" if repack else "mapped")
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # of a program without an interpreter, or of a machine that is very busy
    if not done.returncode:
        return None
    said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
    return _CRASHES.get(done.returncode, f"it fails: {' '.join(said)}")


def _evaluate(*, repack: bool) -> None:
    """What the child does."""
    import numpy as np

    from ...bundle.backbone_check import check_backbone
    from ...bundle.files import load_manifest
    from ...bundle.manifest import BACKBONE_FILE
    from ...system.spare_cores import SpareCores
    from ..backbone import Backbone
    from ..machine.placement import Placement
    from ..machine.runtime_options import RuntimeOptions

    folder = demo_bundle()
    assert folder is not None
    manifest = load_manifest(folder)
    path = folder / BACKBONE_FILE
    options = RuntimeOptions(threads=1, context=2 * _POSITIONS, device="cpu")
    head = check_backbone(path, manifest)
    backbone = Backbone.load(
        path, head, manifest.backbone, options, Placement(threads=1), SpareCores(), repack=repack
    )
    sequence = backbone.new_sequence()
    rows = backbone.embed(np.arange(_POSITIONS, dtype=np.int32))
    backbone.evaluate([(sequence, rows, 1)])
    sequence.close()
    backbone.close()


def _main() -> int:
    if sys.argv[1:]:
        _evaluate(repack=sys.argv[1] == "repacked")
        return 0
    complaints = [native_complaint(repack=repack) for repack in (False, True)]
    for way, complaint in zip(
        ("llama.cpp", "llama.cpp with repacked weights"), complaints, strict=True
    ):
        if complaint:
            sys.stderr.write(f"{way} does not run on this processor: {complaint}; {_REBUILD}\n")
    return int(any(complaints))


if __name__ == "__main__":
    sys.exit(_main())
