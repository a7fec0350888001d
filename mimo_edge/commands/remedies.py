"""Names of options for remedies: the library's errors know nothing of a command line."""

from __future__ import annotations

from ..errors import MimoEdgeError

__all__ = ["with_option"]

_OPTIONS = {
    "anyway": "--anyway tries it all the same",
    "api_key": "--api-key-file, or $MIMO_EDGE_API_KEY",
    "authority": "--ca FILE, or --insecure",
    "device": "--list-devices",
    "ending": "or give --format",
    "log": "-vv shows it",
    "replace": "--force",
    "restart": "--restart begins anew",
}
"""`MimoEdgeError.about` → what the command line adds."""


def with_option(error: MimoEdgeError) -> str:
    """The error's sentence, with the option that its remedy needs in brackets behind it."""
    sentence, option = str(error), _OPTIONS.get(error.about or "")
    return sentence if option is None else f"{sentence.rstrip('.')} ({option})."
