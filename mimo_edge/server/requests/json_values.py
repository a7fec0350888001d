"""How many values a JSON text may hold: reading them stops every other caller."""

from __future__ import annotations

from .api_errors import ApiError

__all__ = ["check_few_values"]

_MOST = 300_000
"""A large request is a few long texts and much base64; so many values take a tenth of a second.
Thirty megabytes of `[],[],…` take seven seconds of the event loop, and of Python's lock, so that a
thread would not help."""


def check_few_values(text: str | bytes | bytearray) -> None:
    """Refuse a JSON text of too many values, before it is read.

    It counts what stands before values, in texts too: as many as are taken otherwise do not hold
    so many commas.

    Raises:
        ApiError: there may be too many.
    """
    if isinstance(text, str):
        count = text.count(",") + text.count("[") + text.count("{")
    else:
        count = text.count(b",") + text.count(b"[") + text.count(b"{")
    if count > _MOST:
        raise ApiError(
            413,
            f"the JSON has about {count} values, and at most {_MOST} are taken; send less at once.",
            code="too_large",
        )
