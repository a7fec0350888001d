"""llama.cpp's log: into Python's logging, with the first complaint kept for error messages."""

from __future__ import annotations

import ctypes
import logging

import llama_cpp

__all__ = ["first_complaint", "redirect_log"]

logger = logging.getLogger(__name__)

_ERROR = 4  # GGML_LOG_LEVEL_ERROR
_complaints: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _receive(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    line = text.decode("utf-8", "replace").strip()
    if not line.strip("."):
        return  # The dots of a loading bar.
    if level == _ERROR:
        _complaints.append(line)
    logger.debug("%s", line)


def redirect_log() -> None:
    """Send llama.cpp's log to logging at DEBUG, and forget earlier complaints.

    Call it before every call of llama.cpp that may fail.
    """
    _complaints.clear()
    llama_cpp.llama_log_set(_receive, ctypes.c_void_p(0))


def first_complaint() -> str:
    """The first error that llama.cpp logged since `redirect_log`: the others follow from it."""
    return _complaints[0].rstrip(".") if _complaints else "llama.cpp gives no reason"
