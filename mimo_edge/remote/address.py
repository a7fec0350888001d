"""Where a server is: the forms in which people write that down, and the key it gets to see."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit, urlunsplit

from ..errors import BadInputError

__all__ = ["KEY_VARIABLE", "ServerAddress", "key_for", "realtime_url"]

KEY_VARIABLE = "MIMO_EDGE_API_KEY"
"""The variable of the environment that holds the key of a server of one's own."""
_OPENAI_KEY_VARIABLE = "OPENAI_API_KEY"
_OPENAI_MODEL = "gpt-realtime"
"""OpenAI serves several models and wants one named."""
_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


@dataclass(frozen=True, kw_only=True)
class ServerAddress:
    """A server and what is needed to be let in."""

    url: str
    """As `realtime_url` makes it: `ws://host:8000/v1/realtime?model=…`."""
    api_key: str | None = field(default=None, repr=False)
    ca: Path | None = None
    """Certificates to trust instead of the system's, for one that is self-made."""
    insecure: bool = False
    """Trust any certificate: whoever is between here and the server can listen and answer."""

    def __post_init__(self) -> None:
        """Refuse options of TLS where there is none."""
        if not self.encrypted and (self.ca is not None or self.insecure):
            raise BadInputError(
                f"{self.host} is asked without TLS, which has no certificate to check; begin the "
                "address with https://, or leave --ca and --insecure out."
            )

    @property
    def encrypted(self) -> bool:
        """Whether what is said cannot be read on its way."""
        return self.url.startswith("wss:")

    @property
    def host(self) -> str:
        """The server's name and port, as messages name it."""
        return urlsplit(self.url).netloc

    @property
    def is_here(self) -> bool:
        """Whether the server is on this machine."""
        name = urlsplit(self.url).hostname or ""
        return name == "localhost" or _is_loopback(name)


def realtime_url(text: str, model: str | None = None) -> str:
    """The websocket's address for what somebody wrote: `host:8000`, `http://host:8000`,
    `https://host/v1`, `wss://host/v1/realtime?model=name`.

    `model` is the name of the model to ask for, instead of one in the address.

    Raises:
        MimoEdgeError: it is no address, or holds a key.
    """
    parts = _split(text)
    query = parse_qs(parts.query, keep_blank_values=True)
    if model is not None:
        query["model"] = [model]
    elif "model" not in query and _is_openai(parts):
        query["model"] = [_OPENAI_MODEL]
    path = parts.path.rstrip("/")
    if not path.endswith("/realtime"):
        path += "/realtime" if path.endswith("/v1") else "/v1/realtime"
    pairs = urlencode(query, doseq=True, quote_via=quote, safe="")
    return urlunsplit((_SCHEMES[parts.scheme], parts.netloc, path, pairs, ""))


def key_for(url: str, given: str | Path | None, environment: Mapping[str, str]) -> str | None:
    """The key for the server at `url`: the one that was given, itself or the file it is in, else
    the environment's for that server.

    OpenAI gets to see OpenAI's key only, and nobody else does.

    Raises:
        MimoEdgeError: the file cannot be read, or there is no key in it, or it is none.
    """
    if isinstance(given, Path):
        key, where = _read(given), str(given)
    elif given is not None:
        key, where = given, "the key"
    else:
        where = _OPENAI_KEY_VARIABLE if _is_openai(urlsplit(url)) else KEY_VARIABLE
        key = environment.get(where) or ""
        if not key:
            return None
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise BadInputError(f"{where} is no key: one line of ASCII characters is.")
    return key


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")  # editors on Windows may put a mark in front
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise BadInputError(f"{path} cannot be read ({reason}); give the key's file.") from error


def _split(text: str) -> SplitResult:
    written = text.strip()
    if "://" not in written:
        written = f"http://{written}"
    try:
        parts = urlsplit(written)
        has_host, _ = bool(parts.hostname), parts.port
    except ValueError as error:
        raise BadInputError(f"{text!r} is no address ({error}); give http://host:8000.") from error
    readable = written.isprintable() and not any(map(str.isspace, written))
    if parts.scheme not in _SCHEMES or not has_host or not readable:
        raise BadInputError(
            f"{text!r} is no address of a server; give http://host:8000, https://host/v1 or "
            "wss://host/v1/realtime."
        )
    try:
        (parts.hostname or "").encode("idna")  # as whoever looks it up does
    except UnicodeError as error:
        raise BadInputError(
            f"{text!r} names no server: between two dots of a name are 1 to 63 characters; give "
            "http://host:8000."
        ) from error
    if "@" in parts.netloc:
        raise BadInputError(
            "the address holds a name or a key before the @, where it lands in logs; "
            "leave it out and give the key apart.",
            about="api_key",
        )
    return parts


def _is_openai(parts: SplitResult) -> bool:
    name = (parts.hostname or "").rstrip(".")
    return name == "api.openai.com" or name.endswith(".api.openai.com")


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
