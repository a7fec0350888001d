"""A connection that can do what client libraries do not: break, lie, fall silent."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Response
from websockets.uri import parse_uri

__all__ = ["RawConnection", "RawWebsocket"]


class RawConnection:
    """TCP to the server at a URL."""

    def __init__(self, url: str, *, timeout: float = 120) -> None:
        address = urlsplit(url)
        assert address.hostname is not None
        self.host = f"{address.hostname}:{address.port}"
        self.socket = socket.create_connection((address.hostname, address.port), timeout=timeout)

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Send a whole request; `content_type` is the header Content-Type."""
        head = {"Host": self.host, "Content-Length": str(len(body)), **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in head.items()]
        text = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""])
        self.socket.sendall(text.encode() + body)

    def post(self, path: str, **fields: Any) -> None:
        """Send a request with a body of JSON."""
        body = json.dumps(fields).encode()
        self.request("POST", path, body, Content_Type="application/json")

    def read(self, most: int = 65536) -> bytes:
        """What comes next; nothing if the connection is over."""
        with contextlib.suppress(ConnectionError):
            return self.socket.recv(most)
        return b""

    def rest(self) -> bytes:
        """All that comes until the connection is over."""
        data = b""
        while piece := self.read():
            data += piece
        return data

    def vanish(self) -> None:
        """Break the connection, without a goodbye: the server gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def fall_silent(self) -> None:
        """Send nothing more, and go on listening: half open."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)


class RawWebsocket(RawConnection):
    """A websocket of `/v1/realtime` at a server."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        address = f"{url.replace('http', 'ws', 1)}/v1/realtime?model=any"
        self._protocol = ClientProtocol(parse_uri(address), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._received: list[Any] = []
        self._flush()
        answer, *self._received = self._take(1)  # behind it there may be a first event
        assert isinstance(answer, Response)
        self.status: int = answer.status_code
        """101 if it is one."""

    def send(self, kind: str, **fields: Any) -> None:
        """Send an event of the client; nothing if the server has closed the connection."""
        with contextlib.suppress(InvalidState):
            self._protocol.send_text(json.dumps({"type": kind, **fields}).encode())
            self._flush()

    def events(self) -> Iterator[dict[str, Any]]:
        """Events of the server, until the connection is over."""
        while True:
            for frame in self._take(1):
                if isinstance(frame, Frame) and frame.opcode.name == "TEXT":
                    event: dict[str, Any] = json.loads(bytes(frame.data))
                    yield event
            if not self._received and self._over:
                return

    def until(self, kind: str) -> dict[str, Any]:
        """The next event of this type."""
        for event in self.events():
            if event["type"] == kind:
                return event
        raise ConnectionError(f"the connection ended before there was a {kind}")

    @property
    def close_code(self) -> int | None:
        """With which the server closed it."""
        return self._protocol.close_code

    _over = False

    def _take(self, least: int) -> list[Any]:
        while len(self._received) < least and not self._over:
            data = self.read()
            if data:
                self._protocol.receive_data(data)
            else:
                self._over = True
                self._protocol.receive_eof()
            self._flush()
            self._received += self._protocol.events_received()
        taken, self._received = self._received, []
        return taken

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            with contextlib.suppress(OSError):
                if data:
                    self.socket.sendall(data)
