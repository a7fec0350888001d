"""Objects of native libraries, each with one owner: the one guard against wrong use.

llama.cpp and onnxruntime crash or hang where Python raises: when an object is used after it was
freed, freed while another thread is in it, used by two threads at once, or used in a process
that was forked from the one that made it. Everything native is held by a `Native`, which turns
each of these into an error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, NoReturn, TypeVar

from ...errors import WrongUseError
from .native_callbacks import interruptible

__all__ = ["Native", "check_process"]

T = TypeVar("T")


class Native(Generic[T]):
    """One native object: lent for the time of a call, freed once, and not during one.

    It is freed by `close`, or when nobody refers to the `Native` any more, or when the program
    ends; what belongs to it, such as the conversations of a model, is freed before.
    """

    def __init__(
        self,
        value: T,
        free: Callable[[T], object],
        *,
        closed: str,
        owner: Native[Any] | None = None,
    ) -> None:
        """Hold `value`, which `free` frees. `closed` is what to say to whoever uses it after that.

        `owner` is what has to live longer; closing it closes this.
        """
        _process.used = True
        self._held: _Held[T] = _Held(value, free, closed, owner._held if owner else None)
        # Not `__del__`: in a cycle of garbage, the weights could go before what uses them.
        weakref.finalize(self, self._held.close)

    @contextlib.contextmanager
    def use(self) -> Iterator[T]:
        """The object, for native calls of this thread; another one that wants it waits.

        Raises:
            MimoEdgeError: it is closed, of another process, or this thread is in such a call.
        """
        held = self._held
        held.check()
        if held.is_mine():
            raise WrongUseError(
                "the model is used from within a call of it, by a signal's or a log's handler; "
                "let that only take a note, and use the model afterwards."
            )
        with held.lock:
            value = held.check()
            held.user = threading.get_ident()
            try:
                with interruptible():
                    yield value
            finally:
                held.user = None
                if held.closed:  # by a signal's handler, in the middle of this
                    held.free()

    def check(self) -> None:
        """Refuse what cannot be used.

        Raises:
            MimoEdgeError: it is closed, or of another process.
        """
        self._held.check()

    def close(self) -> None:
        """Free it and what belongs to it, after the calls that other threads are in.

        Whoever uses it from now on gets an error. Closing twice does nothing.
        """
        self._held.close()

    def __reduce__(self) -> NoReturn:
        """Refuse copies, which would free the same object twice."""
        raise WrongUseError(
            "a loaded model cannot be copied or sent to another process; load it there."
        )


def check_process() -> None:
    """Refuse to go on in a process that was forked after a model was loaded.

    The threads of the native libraries are not there, and whoever waits for them waits forever.

    Raises:
        MimoEdgeError: this is such a process.
    """
    if _process.forked:
        raise WrongUseError(
            "this process was forked from one that had loaded a model, which cannot run here; "
            'start it with multiprocessing\'s "spawn" and load the model in it.'
        )


class _Held(Generic[T]):
    """What a `Native` holds; knows nothing of the `Native`, whose end frees it."""

    def __init__(
        self, value: T, free: Callable[[T], object], sentence: str, owner: _Held[Any] | None
    ) -> None:
        self.lock = threading.Lock()
        self.user: int | None = None
        """The thread that is in a call."""
        self.closed = False
        self._value: T | None = value
        self._free = free
        self._sentence = sentence
        self._owner = owner
        self._parts: dict[int, _Held[Any]] = {}
        self._freeing = False
        if owner is not None:
            owner._parts[id(self)] = self
        _process.all.add(self)

    def check(self) -> T:
        check_process()
        if self._owner is not None:
            self._owner.check()
        if self.closed or self._value is None:
            raise WrongUseError(self._sentence)
        return self._value

    def is_mine(self) -> bool:
        """Whether this very thread is in a call, and now in what interrupted that."""
        return self.lock.locked() and self.user == threading.get_ident()

    def close(self) -> None:
        if _process.forked:
            return  # Freeing waits for threads that are not here.
        self.closed = True
        if self.is_mine():
            return  # A signal's handler closes what its own thread is in: `use` frees it.
        with self.lock:
            self.free()

    def free(self) -> None:
        """What belongs to it goes first. Needs the lock."""
        self._freeing = True
        for part in reversed(list(self._parts.values())):
            part.close()
        self._freeing = False
        if self._parts:
            return  # This very thread is in a call of one, the end of which frees both.
        value, self._value = self._value, None
        if value is not None:
            self._free(value)
        owner = self._owner
        if owner is not None:
            owner._parts.pop(id(self), None)
            if owner.closed and not owner._parts and not owner._freeing:
                owner.close()

    def leak(self) -> None:
        """Keep the object to the very end of the process, when nothing is freed any more."""
        if self._value is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._value))


class _Process:
    """What a fork changes."""

    def __init__(self) -> None:
        self.used = False
        """Whether a native object was ever made here: its threads may outlive it."""
        self.forked = False
        self.all: weakref.WeakSet[_Held[Any]] = weakref.WeakSet()

    def in_child(self) -> None:
        self.forked = self.used
        for held in list(self.all):
            held.leak()


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.in_child)
