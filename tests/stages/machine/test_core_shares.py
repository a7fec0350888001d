"""Who gets which core while an answer is spoken."""

from __future__ import annotations

import pytest

from mimo_edge.stages.machine.placement import share_cores

SMALL, LARGE = 2_000_000, 4_700_000_000


@pytest.mark.parametrize(
    ("threads", "cores", "large", "small"),
    [(8, 8, 4, 4), (3, 8, 3, 3), (3, 3, 3, 2), (2, 2, 2, 1), (1, 1, 1, 1)],
)
def test_the_patch_decoder_takes_four_cores_at_most(
    threads: int, cores: int, large: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that of a small model leaves one."""
    monkeypatch.setattr("mimo_edge.stages.machine.placement.usable_cores", lambda: cores)
    for size, expected in ((LARGE, large), (SMALL, small)):
        shares = share_cores(threads, size)
        assert (shares.backbone.threads, shares.patch_decoder.threads) == (threads, expected)


def test_threads_follow_the_size_unless_somebody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second thread makes a small model no faster, and waits where another program is busy."""
    monkeypatch.setattr("mimo_edge.stages.machine.placement.usable_cores", lambda: 8)
    monkeypatch.setattr("mimo_edge.stages.machine.placement.fast_cores", lambda: 6)
    assert share_cores(0, SMALL).backbone.threads == 1
    assert share_cores(0, LARGE).backbone.threads == 6
    assert share_cores(0, LARGE).backbone.makes_way
    assert share_cores(0, SMALL).backbone.makes_way
    assert not share_cores(6, LARGE).backbone.makes_way
