"""What went wrong with the hub, in one sentence with its remedy."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import getproxies

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from mimo_edge.atomic import is_disk_full
from mimo_edge.bundle.untrusted_json import printable_name
from mimo_edge.errors import BadInputError, MimoEdgeError

__all__ = ["HTTP_ERROR", "check_token", "explained"]

_LOGGER = logging.getLogger(__name__)

HTTP_ERROR: type[Exception] = HfHubHTTPError.__mro__[1]
"""What every failure of the HTTP library huggingface_hub is built on derives from;
which library that is has changed between its major versions."""

_KEPT = "what has arrived is kept"
_SAID = 200
"""Characters of a server's words that a sentence repeats."""
_NOT_WRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)


def check_token() -> None:
    """Raise MimoEdgeError if the token cannot be one: in a header it would end in odd errors."""
    if not re.fullmatch(r"[!-~]*", _token() or ""):
        raise BadInputError(
            f"HF_TOKEN (or the token in {constants.HF_TOKEN_PATH}) holds spaces or characters "
            f"that no token has; set it to the token as {constants.ENDPOINT}/settings/tokens "
            "shows it, or unset it."
        )


def _token() -> str | None:
    try:
        return get_token()
    except NotADirectoryError:  # what is wrong with HF_HOME is told later
        return None
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"the token in {constants.HF_TOKEN_PATH} cannot be read ({error}); set HF_TOKEN, or "
            "remove the file."
        ) from error


@contextmanager
def explained(
    what: str, revision: str | None, *, into: Path | None = None, done: str = "downloaded"
) -> Iterator[None]:
    """Turn every failure into a MimoEdgeError; `what` names the checkpoint or bundle.

    `into` is the folder that is written; None: the hub's cache. `done` is what cannot be done.

    Every one, because what a network or a server that is no hub does to the libraries is theirs:
    KeyError and AssertionError were seen, too.
    """
    try:
        yield
    except MimoEdgeError:
        raise
    except Exception as error:
        _LOGGER.debug("%s was not %s", what, done, exc_info=True)
        raise MimoEdgeError(_sentence(error, what, revision, into, done)) from error


def _sentence(
    error: Exception, what: str, revision: str | None, into: Path | None, done: str
) -> str:
    hub, cache = constants.ENDPOINT, constants.HF_HUB_CACHE
    if isinstance(error, GatedRepoError):
        return f"{what} is gated; accept its terms on {hub} and set HF_TOKEN to your token."
    if isinstance(error, RevisionNotFoundError):
        return (
            f"{what} has no revision {revision or 'main'!r} on {hub}; give a branch, a tag or a "
            "commit of it."
        )
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        token = "see that HF_TOKEN is valid and may read it" if _token() else "set HF_TOKEN"
        return (
            f"{what} is neither a folder here nor a repository on {hub}; check the spelling, "
            f"or {token} if it is private."
        )
    if isinstance(error, LocalEntryNotFoundError):
        cause = error.__cause__
        if cause is None or isinstance(cause, OfflineModeIsEnabled):
            return (
                f"{what} is not wholly in the cache {cache} and offline mode forbids the "
                "download; unset HF_HUB_OFFLINE, or give a folder."
            )
        error = cause if isinstance(cause, Exception) else error
    if isinstance(error, OfflineModeIsEnabled):
        return f"{what} cannot be {done}: offline mode is on; unset HF_HUB_OFFLINE."
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        return f"{what} cannot be {done}: {_status(status, hub, done)}{_said(error)}."
    if isinstance(error, ValueError) and "metadata in README.md" in str(error):
        reason = " ".join(str(error).partition("\n")[2].split()).rstrip(".")
        return (
            f"{what} cannot be {done}: {hub} does not take the lines at the beginning of its "
            f"README.md ({reason[:_SAID]}); mend them."
        )
    return f"{what} cannot be {done}" + _other(error, hub, cache, into)


def _said(error: HfHubHTTPError) -> str:
    """What the hub itself gives as a reason, as the end of a sentence."""
    words = " ".join((error.server_message or "").split()).rstrip(".")
    if not words or error.response.status_code in (401, 404, 429):
        return ""
    return f" (it says: {printable_name(words[:_SAID])})"


def _status(status: int, hub: str, done: str) -> str:
    """What the hub means by a status, and what to do."""
    if status in (401, 403) and done != "downloaded":
        return (
            f"{hub} does not let you write there (status {status}); set HF_TOKEN to a token that "
            "may write"
        )
    if status == 401:
        return f"{hub} does not accept the token (status 401); set HF_TOKEN to a valid one"
    if status == 403:
        return (
            f"{hub} forbids it (status 403); see that its terms are accepted and that HF_TOKEN is "
            "a token that may read it"
        )
    if status == 404:
        return f"{hub} does not have it (status 404); check HF_ENDPOINT and the spelling"
    if status == 429:
        return (
            f"{hub} was asked too often (status 429); wait some minutes and run the command "
            f"again, {_KEPT}; with HF_TOKEN set more is allowed"
        )
    return f"{hub} answered with status {status}; try again later, {_KEPT}"


def _other(error: Exception, hub: str, cache: str, into: Path | None) -> str:
    """Errors of the machine, the network, or a server that is no hub; the end of a sentence."""
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, OSError) and number and is_disk_full(error, into or Path(cache)):
        if into is not None:
            return f": the disk of {into} is full; make room and run the command again, {_KEPT}."
        return (
            f": the disk of {cache} is full; make room, or set HF_HOME to a folder on another disk."
        )
    if isinstance(error, OSError) and number in _NOT_WRITABLE:
        where = error.filename or into or cache
        if into is not None:
            return (
                f": {where} cannot be written ({error.strerror}); choose another folder or mend "
                "its permissions."
            )
        return (
            f": {where} in the cache cannot be written ({error.strerror}); mend its permissions, "
            "or set HF_HOME to a folder of yours."
        )
    if isinstance(error, ImportError):
        return (
            " through the proxy that is set (ALL_PROXY, HTTPS_PROXY): SOCKS needs the package "
            "socksio; `pip install socksio`, or unset the proxy."
        )
    if isinstance(error, (OSError, HTTP_ERROR)):
        proxies = " and the proxy that is set" if getproxies() else ""
        return (
            f" from {hub} ({reason}); check the connection{proxies} and run the command again, "
            f"{_KEPT}."
        )
    return (
        f": what answers at {hub} is not a hub, or not understood ({reason}); check HF_ENDPOINT, "
        "the proxy settings and whether this network asks for a login first."
    )
