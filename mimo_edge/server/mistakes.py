"""What the log says of a mistake of ours: where it happened, and nothing of what a caller sent."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

__all__ = ["log_mistake"]


def log_mistake(log: logging.Logger, what: str, error: BaseException, *, log_text: bool) -> None:
    """One line of what failed, and the lines of code that led there.

    `log_text`: whether the message of the exception may be in it, too.
    """
    if log_text:
        log.error("%s", what, exc_info=error)
        return
    # The message of an exception may hold anything: a text, a key of a dictionary.
    frames = traceback.extract_tb(error.__traceback__)
    where = "".join(
        f"\n  {Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in frames
    )
    log.error("%s: %s%s", what, type(error).__name__, where)
