"""Addresses as `Host` and `Origin` have them."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

__all__ = ["Address", "normal_origin", "origin_of", "parse_address"]

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_]([a-z0-9_-]{0,62}))*")
_PORT = re.compile(r"[0-9]{1,5}")
_PORTS = {"http": 80, "https": 443}


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


def normal_origin(text: str) -> str | None:
    """An origin as browsers write it, so that `https://a` and `https://A:443` are the same; None
    for `null` and whatever else is none.
    """
    scheme, separator, rest = text.strip().lower().partition("://")
    if not separator or not scheme:
        return None
    if scheme not in _PORTS:  # an extension of a browser: its identifier stands for the host
        return f"{scheme}://{rest}" if rest and "/" not in rest else None
    address = parse_address(rest)
    return None if address is None else origin_of(scheme, address)


def origin_of(scheme: str, address: Address) -> str:
    """The origin of what lies at an address, as browsers write it; `scheme` is http or https."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    port = "" if address.port in (None, _PORTS[scheme]) else f":{address.port}"
    return f"{scheme}://{host}{port}"


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return "%" not in host  # a zone, which means something on one machine only
