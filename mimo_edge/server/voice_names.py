"""What voices may be called, and what is said about them."""

from __future__ import annotations

import re
import unicodedata

from .api_errors import ApiError
from .voice_file import LONGEST_CONSENT, LONGEST_NAME, printable

__all__ = ["DEFAULT", "VOICE_ID", "checked_consent", "checked_name", "normal_name"]

DEFAULT = "default"
"""Identifier of the voice that the model has by itself."""
VOICE_ID = re.compile(r"voice_[0-9a-f]{24}")
"""Identifiers that the server makes."""


def normal_name(name: str) -> str:
    """The name in the one form in which names are compared."""
    return unicodedata.normalize("NFC", name).strip()


def checked_name(name: str) -> str:
    """A name for a new voice, in that form.

    Raises:
        ApiError: it is empty, too long, cannot be shown, or means something else already.
    """
    name = normal_name(name)
    if not 1 <= len(name) <= LONGEST_NAME:
        raise _refused(
            "name", f"it has {len(name)} characters; give a voice a name of 1 to {LONGEST_NAME}."
        )
    try:
        printable(name)
    except ValueError as error:
        raise _refused("name", f"{error}; give letters, digits and the like.") from error
    if name.casefold() == DEFAULT or VOICE_ID.fullmatch(name):
        raise _refused("name", f"{name} already means something else; choose another name.")
    return name


def checked_consent(consent: str) -> str:
    """What is said about the speaker's consent.

    Raises:
        ApiError: nothing, or too much.
    """
    if not consent.strip():
        raise _refused(
            "consent", "whose voice it is must agree; say so here in words, for example `yes`."
        )
    if len(consent) > LONGEST_CONSENT:
        raise _refused(
            "consent", f"it has {len(consent)} characters; give at most {LONGEST_CONSENT}."
        )
    return consent


def _refused(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param}: {why}", code="invalid_value", param=param)
