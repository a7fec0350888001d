"""Signals in processes that tests start."""

import signal

__all__ = ["hear_ctrl_c"]


def hear_ctrl_c() -> None:
    """For `preexec_fn`: a shell starts background jobs, and so the tests maybe, deaf to SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
