"""Which web pages may use the server.

A browser lets any page open a websocket to any address and post forms to it; it says in `Origin`
which page that is. Programs that are no browsers send none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..requests.api_errors import ApiError
from .hosts import Address, parse_address

__all__ = ["check_origin", "normal_origin"]

_PORTS = {"http": 80, "https": 443}


def check_origin(
    given: Sequence[str], scheme: str, host: Address, declared: Collection[str]
) -> None:
    """Refuse what another page than the server's own sends, unless that page was declared.

    `host` is the address in the request's `Host`, which has to be checked before: a page that made
    its own name point here would be its own otherwise. `scheme` is http or https.

    Raises:
        ApiError: the page is another one, or does not say which it is.
    """
    if not given:
        return
    if len(given) > 1:
        raise ApiError(400, "the request has more than one Origin header.", code="bad_origin")
    origin = normal_origin(given[0])
    own = (scheme, host.host, host.port or _PORTS[scheme])
    allowed = [normal_origin(name) for name in declared]
    if "*" in declared or (origin is not None and (origin == own or origin in allowed)):
        return
    raise ApiError(
        403,
        f"the web page {given[0][:80]!r} may not use this server; to allow it, start the server "
        f"with --allow-origin and its address.",
        code="origin_not_allowed",
    )


def normal_origin(text: str) -> tuple[str, str, int | None] | None:
    """(scheme, host, port) of an origin, so that `https://a` and `https://A:443` are the same;
    None for `null` and whatever else is none.
    """
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if not separator or not scheme:
        return None
    if scheme not in _PORTS:  # an extension of a browser: its identifier stands for the host
        return (scheme, rest.lower(), None) if rest and "/" not in rest else None
    address = parse_address(rest)
    return None if address is None else (scheme, address.host, address.port or _PORTS[scheme])
