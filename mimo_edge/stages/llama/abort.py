"""Ending a long evaluation of llama.cpp in the middle.

llama.cpp asks a function behind every operator whether to go on. A function of Python's would need
Python's lock a thousand times per piece of a prompt, and wait for it up to 5 ms each time while
another thread computes. So the function is one of ggml's own, which reads a flag in memory:
`ggml_get_no_alloc` has exactly the type that is wanted, and nothing else uses the object it reads.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import llama_cpp

from .libraries import ggml_function

__all__ = ["AbortFlag", "EvaluationStopped", "run_aside", "waiting_thread"]

_LOOK_EVERY_S = 0.05
"""Between two looks at whether work that runs aside is still wanted."""

T = TypeVar("T")

_aside = threading.local()
"""In a thread that `run_aside` made, `caller`: the thread that waits for it."""


class EvaluationStopped(Exception):
    """Positions were not evaluated, because whoever wanted them gave up or lets others go first."""


class _InitParams(ctypes.Structure):
    """`struct ggml_init_params`."""

    _fields_ = (
        ("mem_size", ctypes.c_size_t),
        ("mem_buffer", ctypes.c_void_p),
        ("no_alloc", ctypes.c_bool),
    )


class AbortFlag:
    """While it is up, a context of llama.cpp ends what it computes on the processor, in moments.

    Only whole operators: one of a large model takes about 20 ms. A GPU finishes its batch.
    """

    def __init__(self) -> None:
        """A flag that is down."""
        pointer = ctypes.c_void_p
        self._free = ggml_function("ggml_free", None, pointer)
        self._get = ggml_function("ggml_get_no_alloc", ctypes.c_bool, pointer)
        self._set = ggml_function("ggml_set_no_alloc", None, pointer, ctypes.c_bool)
        new = ggml_function("ggml_init", pointer, _InitParams)
        self._object: int | None = new(_InitParams(0, None, False))
        # A signal's handler may close the model in the middle of `put`.
        self._lock = threading.RLock()

    def watch(self, context: int) -> None:
        """Make a context look at it; the flag has to live longer than the context."""
        # The function itself, so that no Python runs when it is called.
        ask = ctypes.cast(self._get, llama_cpp.ggml_abort_callback)
        llama_cpp.llama_set_abort_callback(context, ask, ctypes.c_void_p(self._object))

    def put(self, up: bool) -> None:
        """Put it up or down; nothing happens once it was freed."""
        with self._lock:
            if self._object:
                self._set(self._object, up)

    def free(self) -> None:
        """Free it."""
        with self._lock:
            flag, self._object = self._object, None
            if flag:
                self._free(flag)


def run_aside(work: Callable[[], T], look: Callable[[], None]) -> T:
    """Run `work` in a thread of its own; what it returns or raises.

    Meanwhile the calling thread runs `look` now and then, and hears of Ctrl-C at once, which it
    does not while it is in native code itself. If either raises, `work` is left alone: it goes on.
    """
    call = _Call(work)
    # A daemon: the end of the program closes the model, which waits for it.
    threading.Thread(target=call.run, name="mimo-edge-prompt", daemon=True).start()
    while not call.done.wait(_LOOK_EVERY_S):
        look()
    return call.result()


def waiting_thread() -> int:
    """The thread that waits for what this one computes; this one itself if none does.

    A log's handler or garbage collection may come while llama.cpp works. Whatever it does must not
    wait for the step that it is a part of, and that is the other thread's.
    """
    return int(getattr(_aside, "caller", threading.get_ident()))


class _Call(Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._caller = threading.get_ident()
        self._work = work
        self._returned: list[T] = []
        self._raised: BaseException | None = None

    def run(self) -> None:
        _aside.caller = self._caller
        try:
            self._returned.append(self._work())
        except BaseException as error:  # also what only a test raises: the caller gets it
            self._raised = error
        finally:
            self.done.set()

    def result(self) -> T:
        if self._raised is not None:
            raise self._raised
        return self._returned[0]
