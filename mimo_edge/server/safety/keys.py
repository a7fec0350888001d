"""The key that callers show: in the header `Authorization`, or as browsers do it for websockets.

Never in the query: addresses are written into logs, histories and referrers.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from urllib.parse import parse_qsl

from ..requests.api_errors import ApiError

__all__ = ["KEY_PROTOCOL", "Key", "key_in_query"]

KEY_PROTOCOL = "openai-insecure-api-key."
"""What a websocket's subprotocol that holds the key begins with; a browser can send nothing else
that holds one."""
_IN_QUERY = frozenset(
    {"key", "api_key", "api-key", "apikey", "access_token", "token", "authorization"}
)


class Key:
    """The server's key."""

    def __init__(self, key: str) -> None:
        self._digest = _digest(key)

    def check(self, authorization: Sequence[str], protocols: Sequence[str]) -> None:
        """Refuse a request without the key, by its `Authorization` headers and subprotocols.

        Every key that is given has to be right: a second one must not get around what looks at
        the first.

        Raises:
            ApiError: there is none, a wrong one, or two headers.
        """
        if len(authorization) > 1:
            raise ApiError(
                400, "the request has more than one Authorization header.", code="bad_key"
            )
        given = [
            protocol[len(KEY_PROTOCOL) :]
            for protocol in protocols
            if protocol.startswith(KEY_PROTOCOL)
        ]
        for header in authorization:
            scheme, _, key = header.strip().partition(" ")
            if scheme.lower() != "bearer":
                raise _unauthorized("the Authorization header is not of the kind `Bearer KEY`.")
            given.append(key.strip())
        if not given:
            raise _unauthorized(
                "this server wants a key; send it as the header `Authorization: Bearer KEY`."
            )
        if not all([self._is_right(key) for key in given]):  # a list: all of them, in any case
            raise _unauthorized("the key is not the one of this server.")

    def _is_right(self, key: str) -> bool:
        # Of equal length, so that the time does not tell how long the key is.
        return hmac.compare_digest(_digest(key), self._digest)


def key_in_query(query: bytes) -> str | None:
    """The name of a parameter that looks like it holds a key."""
    names = (name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return next((name for name in names if name.lower() in _IN_QUERY), None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _unauthorized(sentence: str) -> ApiError:
    return ApiError(401, sentence, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
