"""Parts that are loaded at once: all of them, or none."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mimo_edge.stages.loading import load_together


class Part:
    """Remembers whether it was closed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.open = True

    def close(self) -> None:
        self.open = False


def test_all_in_their_order() -> None:
    meeting = threading.Barrier(2, timeout=30)  # two are in it at once, or this fails

    def load(name: str) -> Callable[[], Part]:
        def loaded() -> Part:
            meeting.wait()
            return Part(name)

        return loaded

    parts = load_together([load("one"), load("two")])
    assert [part.name for part in parts] == ["one", "two"]
    assert all(part.open for part in parts)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_none_if_one_fails(number: int, kind: type[BaseException]) -> None:
    """The first in their order is told, whichever fails first in time."""
    parts = [Part(str(place)) for place in range(4)]

    def load(place: int) -> Callable[[], Part]:
        def loaded() -> Part:
            if place >= number:
                raise kind(place)
            return parts[place]

        return loaded

    with pytest.raises(kind, match=str(number)):
        load_together([load(place) for place in range(4)])
    assert not any(part.open for part in parts[:number])
    assert not [one for one in threading.enumerate() if one.name.startswith("load")]
