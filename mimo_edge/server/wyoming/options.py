"""Where the Wyoming server listens, and how much one client may ask of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from ...errors import BadInputError

__all__ = ["WyomingLimits", "WyomingOptions"]


@dataclass(frozen=True, kw_only=True)
class WyomingLimits:
    """What one connection may take; the protocol itself knows no limit and no key."""

    header_bytes: int = 256 * 2**10
    """Of the line of JSON with which an event begins."""
    data_bytes: int = 256 * 2**10
    """Of the JSON that may follow it."""
    payload_bytes: int = 2**20
    """Of the sound of one event: Home Assistant sends 2 to 4 KiB at once."""
    ahead_bytes: int = 2 * 2**20
    """Of events that are read while others are worked on."""
    ahead_events: int = 1024
    recording_bytes: int = 32 * 2**20
    """Of one utterance: 17 minutes as Home Assistant sends it (16 kHz, 16 bit, one channel)."""
    connections: int = 32
    """Open at once; further ones are told so and closed."""
    idle_s: float = 300.0
    """After which a connection is closed that sends nothing and waits for nothing."""
    stalled_s: float = 30.0
    """After which a connection is closed whose client does not take what it is sent."""
    conversations: int = 16
    """That are remembered; beyond it the one that was silent for longest is forgotten."""
    forget_s: float = 300.0
    """After which a conversation is forgotten; Home Assistant begins a new one after 5 minutes."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        for name, value in vars(self).items():
            if value <= 0:
                raise BadInputError(f"the limit {name} is {value}; give more than 0.")


@dataclass(frozen=True, kw_only=True)
class WyomingOptions:
    """The address of the Wyoming server, and whether others are told of it."""

    port: int
    """0: any free one."""
    host: str = "127.0.0.1"
    announce: bool = False
    """Whether Home Assistant finds the server by itself (zeroconf, `_wyoming._tcp`)."""
    limits: WyomingLimits = field(default_factory=WyomingLimits)

    def __post_init__(self) -> None:
        """Refuse a port that is none, and to announce what nobody else can reach."""
        if not 0 <= self.port <= 65535:
            raise BadInputError(
                f"the port of the Wyoming server is {self.port}; give 0 (any free one) to 65535."
            )
        if self.announce and self.only_here:
            raise BadInputError(
                f"a server at {self.host} is not announced, as only this machine reaches it; "
                "let the Wyoming server listen on 0.0.0.0, or on this machine's address in your "
                "network."
            )

    @property
    def only_here(self) -> bool:
        """Whether only programs on this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
