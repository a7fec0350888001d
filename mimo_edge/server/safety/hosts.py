"""Under which names the server may be asked.

A web page of `evil.example` may make its name point to 127.0.0.1 after it was loaded. To the
browser the server is then that page's own, and nothing but the name in `Host` tells.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..addresses import Address, parse_address
from ..requests.api_errors import ApiError

__all__ = ["allowed_host"]


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
