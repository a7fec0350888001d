"""What is called when Python ends, and that nothing is kept of what has ended before."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref

from mimo_edge.system.last_calls import call_before_end, call_no_more

_PROGRAM = """
import atexit
from mimo_edge.system.last_calls import call_before_end, call_no_more
class Part:
    def __init__(self, name): self.name = name
    def end(self): print(self.name)
atexit.register(print, "what was there before")
class Stopped(Part):
    def end(self): raise KeyboardInterrupt
first, over, last = Part("first"), Part("over"), Part("last")
for part in (first, over, Stopped(""), last): call_before_end(part.end)
call_no_more(over.end)
"""


def test_the_last_one_is_called_first_and_before_what_was_there() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["last", "first", "what was there before"]


class _Part:
    def end(self) -> None:
        pass


def test_what_has_ended_is_forgotten() -> None:
    part = _Part()
    call_before_end(part.end)
    call_no_more(part.end)
    call_no_more(part.end)
    gone = weakref.ref(part)
    del part
    gc.collect()
    assert gone() is None
