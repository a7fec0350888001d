"""Under which names the server may be asked.

A web page of `evil.example` may make its name point to 127.0.0.1 after it was loaded. To the
browser the server is then that page's own, and nothing but the name in `Host` tells.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..requests.api_errors import ApiError

__all__ = ["Address", "allowed_host", "parse_address"]

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class Address:
    """A host and maybe a port, as `Host` has them."""

    host: str
    """A name in small letters without a dot behind it, or an IP address without brackets."""
    port: int | None

    @property
    def is_ip(self) -> bool:
        """Whether the host is an IP address rather than a name."""
        return _is_ip(self.host)


def parse_address(text: str) -> Address | None:
    """`name`, `name:8000`, `192.168.0.2:8000`, `[::1]:8000`; None if it is nothing of that."""
    host, port = text.strip().lower(), ""
    if host.startswith("["):
        host, bracket, rest = host[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            return None
        port = rest[1:]
        if rest == ":":
            return None
    elif ":" in host:
        host, _, port = host.partition(":")
        if not port:
            return None
    host = host.removesuffix(".")
    if not (_is_ip(host) or (_NAME.fullmatch(host) and len(host) <= 253)):
        return None
    if port and not (_PORT.fullmatch(port) and int(port) <= 65535):
        return None
    return Address(host, int(port) if port else None)


def allowed_host(given: Sequence[str], declared: Collection[str]) -> Address:
    """The address in the `Host` headers of a request.

    `declared` are names; one that begins with `*.` stands for all below it.

    Raises:
        ApiError: there is no such header, more than one, or not a name of this server.
    """
    if len(given) != 1:
        what = "no" if not given else "more than one"
        raise ApiError(400, f"the request has {what} Host header; send one.", code="bad_host")
    address = parse_address(given[0])
    if address is None:
        raise ApiError(
            400, f"the Host header is {given[0][:80]!r}, which is no address.", code="bad_host"
        )
    if address.is_ip or _is_local(address.host) or _is_declared(address.host, declared):
        return address
    raise ApiError(
        403,
        f"this server is not asked under the name {address.host!r}; use its IP address or "
        f"localhost, or start it with --allow-host {address.host}.",
        code="host_not_allowed",
    )


def _is_local(host: str) -> bool:
    """Names that no name server in the internet can give out."""
    return host == "localhost" or host.endswith((".localhost", ".local"))


def _is_declared(host: str, declared: Collection[str]) -> bool:
    for name in declared:
        pattern = name.strip().lower().removesuffix(".")
        if host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:])):
            return True
    return False


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone, which means something on one machine only
