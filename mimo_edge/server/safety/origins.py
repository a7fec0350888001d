"""Which web pages may use the server.

A browser lets any page open a websocket to any address and post forms to it; it says in `Origin`
which page that is. Programs that are no browsers send none.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..addresses import Address, normal_origin, origin_of
from ..requests.api_errors import ApiError

__all__ = ["check_origin"]


def check_origin(
    given: Sequence[str], scheme: str, host: Address, declared: Collection[str]
) -> None:
    """Refuse what another page than the server's own sends, unless that page was declared.

    `host` is the address in the request's `Host`, which has to be checked before: a page that made
    its own name point here would be its own otherwise. `scheme` is http or https.
    `declared` are origins as browsers write them, or `*`.

    Raises:
        ApiError: the page is another one, or does not say which it is.
    """
    if not given:
        return
    if len(given) > 1:
        raise ApiError(400, "the request has more than one Origin header.", code="bad_origin")
    origin = normal_origin(given[0])
    if "*" in declared or (origin is not None and origin in (origin_of(scheme, host), *declared)):
        return
    raise ApiError(
        403,
        f"the web page {given[0][:80]!r} may not use this server; to allow it, start the server "
        f"with --allow-origin and its address.",
        code="origin_not_allowed",
    )
