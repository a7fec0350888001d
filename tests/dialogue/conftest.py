"""The outputs that every conversation is tested with."""

from __future__ import annotations

import pytest

from .two_sides import Output


@pytest.fixture(params=["speaker", "socket"])
def output(request: pytest.FixtureRequest) -> Output:
    kind: Output = request.param
    return kind
