"""One conversation of the backbone: a handle of a sequence that grows and is cut at its end."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from ...errors import WrongUseError
from .context import BackboneContext

__all__ = ["BackboneSequence"]


class BackboneSequence:
    """Positions of one conversation in the cache that all conversations share.

    It takes a number of llama.cpp's only while it holds positions, so that there can be more
    conversations than numbers. `Backbone.evaluate` makes it grow.
    """

    def __init__(self, context: BackboneContext) -> None:
        """An empty sequence."""
        self._context = context
        self._number: int | None = None
        self._forget: Callable[[], object] | None = None
        self._closed = False

    def check_open(self) -> None:
        """Refuse a sequence that was closed, or whose model was.

        Raises:
            MimoEdgeError: it was.
        """
        self._context.check_open()
        if self._closed:
            raise WrongUseError("the conversation is closed; begin another one.")

    @property
    def has_number(self) -> bool:
        """Whether it takes one of llama.cpp's sequences."""
        return self._number is not None

    def number(self) -> int:
        """llama.cpp's number of it; it gets one if it has none.

        Raises:
            MimoEdgeError: it is closed.
        """
        self.check_open()
        if self._number is None:
            number = self._context.begin()
            # Without `close`, the end of the handle gives the number back.
            self._forget = weakref.finalize(self, self._context.give_back, number)
            self._number = number
        return self._number

    @property
    def length(self) -> int:
        """Positions in the cache."""
        self.check_open()
        return 0 if self._number is None else self._context.length(self._number)

    def truncate(self, length: int) -> None:
        """Forget everything from position `length` on; with 0, its number is free again."""
        if self._number is None:
            return
        if length:
            self._context.truncate(self._number, length)
        else:
            self._drop()

    def save(self) -> bytes:
        """The positions as bytes, for `restore` with the same model and options."""
        return self._context.save(self.number())

    def restore(self, data: bytes, length: int) -> bool:
        """Put back what `save` gave for `length` positions; False if llama.cpp refuses it."""
        restored = self._context.restore(self.number(), data, length)
        if not restored:
            self._drop()
        return restored

    def close(self) -> None:
        """Forget it; closing twice does nothing."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        self._number = None
        if self._forget is not None:
            self._forget()
            self._forget = None
