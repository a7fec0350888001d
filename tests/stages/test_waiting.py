"""Threads of llama.cpp that wait for each other do not keep cores busy that others could use."""

import os
import subprocess
import sys

import pytest

CODE = "import os, mimo_edge.stages.backbone; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [({}, "3000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "None")],
)
def test_they_wait_briefly_unless_somebody_chose(chosen: dict[str, str], expected: str) -> None:
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env=kept | chosen, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected
