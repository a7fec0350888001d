"""The page at `/`: files that the browser gets as they are, from memory.

They are read once, and only what was read is ever answered: no path from a caller reaches the
disk.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ..sharing.service import Service

__all__ = ["routes"]

_FOLDER = Path(__file__).parent / "static"

# Not from `mimetypes`: on Windows that asks the registry, and a module that is sent as plain text
# does not run.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, kw_only=True)
class _File:
    content: bytes
    media_type: str
    etag: str


def routes(service: Service) -> list[BaseRoute]:
    """`/` and every file of the page under `/page/`, all of them public; nothing without a page."""
    if not service.options.page:
        return []
    files = _files()

    def route(path: str, name: str) -> Route:
        file = files[name]

        async def answer(request: Request) -> Response:
            return _answer(request, file)

        return Route(path, answer, methods=["GET"])

    return [
        route("/", "index.html"),
        *(route(f"/page/{name}", name) for name in files if name != "index.html"),
    ]


def _files() -> dict[str, _File]:
    """Path below the folder → file."""
    found = {}
    for path in sorted(_FOLDER.rglob("*")):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            name = str(PurePosixPath(*path.relative_to(_FOLDER).parts))
            etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            found[name] = _File(content=content, media_type=_TYPES[path.suffix], etag=etag)
    return found


def _answer(request: Request, file: _File) -> Response:
    # The browser asks every time, so that page and server are always of one version.
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    if file.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
