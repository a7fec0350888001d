"""Runs every golden test once for each array that the folder holds."""

from __future__ import annotations

import pytest

from tests.conftest import open_golden

KINDS = {
    "mel_clip": "mel",
    "codes_clip": "codes",
    "patched_clip": "patched",
    "dequant_clip": "dequant",
    "decode_clip": "decode",
    "prompt_name": "prompt",
    "embeds_name": "embeds",
    "hidden_name": "hidden",
    "logits_name": "logits",
    "greedy_name": "greedy",
    "sampler_case": "sampler",
}
"""Argument of a test → the arrays whose names it gets."""

NOT_A_CASE = {"scores"}
"""`sampler/scores` are the logits that all cases share."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for argument, kind in KINDS.items():
        if argument in metafunc.fixturenames:
            names = open_golden(metafunc.config).names(kind)
            metafunc.parametrize(argument, [name for name in names if name not in NOT_A_CASE])
