"""How the server runs: its address, its limits, who may use it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadInputError
from ..tasks import Overrides
from .addresses import normal_origin, parse_address

__all__ = ["Limits", "ServerOptions"]

_SHORTEST_KEY = 8
_KEY = re.compile(rf"[!-~]{{{_SHORTEST_KEY},}}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one caller may ask for; what is beyond is refused before it takes memory or time."""

    upload_bytes: int = 100 * 2**20
    """Of one file."""
    upload_seconds: float = 3600.0
    """Of sound in one file, read from its header before it is decoded."""
    upload_channels: int = 16
    json_bytes: int = 32 * 2**20
    """Of one JSON body: it and what it becomes are in memory, other than an uploaded file."""
    body_bytes: int = 110 * 2**20
    """Of one HTTP request."""
    bodies_bytes: int = 512 * 2**20
    """Of all requests under way together."""
    message_bytes: int = 16 * 2**20
    """Of one websocket message: 15 MiB of audio in base64 and what is around it."""
    body_pause_s: float = 30.0
    """Without a byte of a request's body, after which it is given up."""
    send_pause_s: float = 120.0
    """In which a caller takes nothing of an answer that is sent to him; then it is broken off."""
    text_characters: int = 20_000
    """Of a text to speak, of a prompt, of instructions."""
    voices: int = 100
    """In the voice library."""
    running: int = 4
    """Requests that are worked on at once; others wait."""
    waiting: int = 32
    """Requests that wait for their turn; more are refused with 429."""
    conversations: int | None = None
    """Live conversations at once. None: as many as the measured speed carries, at least one."""
    connections: int = 256
    """Open connections, HTTP and websocket together."""
    head_bytes: int = 32 * 2**10
    """Of the headers of a request."""
    head_s: float = 20.0
    """Until they are complete, from the beginning of the connection or their own."""
    idle_s: float = 15 * 60.0
    """After which a live conversation in which nothing happens is closed."""
    session_s: float = 60 * 60.0
    """After which a live conversation is closed in any case."""
    request_s: float = 60 * 60.0
    """Until a request is answered, waiting included."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise BadInputError(f"the limit {name} is {value}; give more than 0.")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Everything about the server but the model."""

    host: str = "127.0.0.1"
    port: int = 8000
    """0: any free one."""
    api_key: str | None = field(default=None, repr=False)
    """Without it the server listens on this machine only."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which the server may be asked, besides IP addresses, `localhost`, `*.local`."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may use the server, besides its own: `https://example.org`; `*`: all. They
    are kept as browsers write them, which is what the headers of answers are compared with."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    strict: bool = False
    """Refuse parameters that have no effect, too."""
    page: bool = True
    """Whether there is a page at `/`."""
    voices: Path | None = None
    """Folder of the voice library; None: in the user's data folder."""
    log_text: bool = False
    """Whether the log may hold what is said."""
    lookahead: int = 32
    """Mel frames that streamed sound waits for; see `SoundOptions`."""
    overrides: Overrides = field(default_factory=Overrides)
    """Samplers where a request does not say otherwise."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse what cannot be, and what would let anybody in."""
        if not 0 <= self.port <= 65535:
            raise BadInputError(f"the port is {self.port}; give 0 (any free one) to 65535.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise BadInputError("TLS needs a certificate and its key; give both or none.")
        if self.api_key is not None and not _KEY.fullmatch(self.api_key):
            raise BadInputError(
                f"the key has {len(self.api_key)} characters; give at least {_SHORTEST_KEY}, "
                "visible ones of ASCII without blanks."
            )
        if self.api_key is None and not self.is_local:
            raise BadInputError(
                f"at {self.host} others in the network reach the server, which needs a key then.",
                about="api_key",
            )
        for name in self.allowed_hosts:
            address = parse_address(name.strip().removeprefix("*."))
            if address is None or address.port is not None:
                raise BadInputError(
                    f"{name!r} is no name of a server; give it without scheme and port, as in "
                    "speech.example.org or *.example.org."
                )
        object.__setattr__(self, "allowed_origins", tuple(map(_origin, self.allowed_origins)))
        if self.api_key is None and "*" in self.allowed_origins:
            raise BadInputError(
                "every web page may use the server only with a key; give one, or name the pages.",
                about="api_key",
            )

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def scheme(self) -> str:
        """How the server's addresses begin."""
        return "http" if self.tls_cert is None else "https"


def _origin(name: str) -> str:
    origin = normal_origin(name.strip().removesuffix("/")) if name != "*" else name
    if origin is None:
        raise BadInputError(
            f"{name!r} is no origin of web pages; give scheme and host, and the port if it has "
            "one, as in https://app.example.org:8443."
        )
    return origin
