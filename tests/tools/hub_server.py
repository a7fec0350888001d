"""A hub on 127.0.0.1: as much of the Hugging Face Hub's file API as a download needs.

`GET /api/models/{id}[/revision/{rev}]`, `GET /api/models/{id}/tree/{rev}` and
`HEAD`/`GET /{id}/resolve/{rev}/{file}` with ranges; files over `LARGE` bytes are
redirected to `/cdn/…`, as the hub does with weights.
"""

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.tools.hub_uploads import LARGE, Uploads

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What is served, what goes wrong, and what was asked for."""

    repos: dict[str, Path]
    url: str = ""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Repository → status and X-Error-Code of every answer about it."""
    hangs_after: int | None = None
    """Bytes of a large file after which the server falls silent, connection open."""
    drops_after: int | None = None
    """Bytes of a large file after which the connection is closed, once."""
    damaged: dict[str, int] = field(default_factory=dict)
    """File → how many more times it is served with a wrong byte, of the right size."""
    claims: dict[str, int] = field(default_factory=dict)
    """File → the size that the list of files says it has."""
    commits: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    """Revision → commit; all have the same files."""
    plain: bool = False
    """A mirror that tells names only, and states the SHA-1 of small files as they are."""
    chunked: bool = False
    """Small files are sent without a length, and compressed where that is accepted."""
    ages: bool = False
    """Addresses of the CDN are signed, and a signature ends with the next file that is sent."""
    clock: int = 0
    """Large files that the CDN has sent, whole or not."""
    page: tuple[int, dict[str, str], bytes] | None = None
    """Status, headers and body of every answer, of a server that is no hub."""
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    """(method, path, bytes of body sent), in order."""
    tokens: dict[str, set[str]] = field(default_factory=lambda: {"hub": set(), "cdn": set()})
    """Authorization headers that reached the hub and its CDN."""
    released: threading.Event = field(default_factory=threading.Event)
    uploads: Uploads | None = None
    """What takes files that are sent; None: nothing can be written."""

    def files(self) -> set[str]:
        """Names of the files whose content was asked for."""
        return {path.rpartition("/")[2] for method, path, sent in self.requests if sent}

    def sent(self, name: str) -> int:
        return sum(sent for _, path, sent in self.requests if path.endswith("/" + name))

    def commit(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a commit names."""
        return revision if revision in self.commits.values() else self.commits.get(revision)


def git_sha1(data: bytes) -> str:
    """As git names the content of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, told = 404, {}  # type: int, object
        if self.hub.uploads is not None:
            status, told = self.hub.uploads.post(self.hub, self.path, body)
        self.reply(status, {"Content-Type": "application/json"}, json.dumps(told).encode())

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert self.hub.uploads is not None
        self.reply(self.hub.uploads.put(self.path, body), {})

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        side = "cdn" if path.startswith("/cdn/") else "hub"
        self.hub.tokens[side].add(self.headers.get("Authorization", ""))
        if self.hub.page is not None:
            self.reply(*self.hub.page)
            return
        if match := re.fullmatch(r"/api/(?:models|datasets)/([^/]+/[^/]+)(/.*)?", path):
            self.api(match[1], match[2] or "")
        elif match := re.fullmatch(r"/(cdn/)?(?:datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self.file(match[2], match[3], cdn=bool(match[1]), body=body)
        else:
            self.reply(404, {})

    def reply(self, status: int, headers: dict[str, str], data: bytes = b"") -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.hub.requests.append((self.command, self.path, 0))

    def refuse(self, repo: str) -> bool:
        status, code = self.hub.refused.get(repo, (404, "RepoNotFound"))
        if repo in self.hub.repos and repo not in self.hub.refused:
            return False
        self.reply(status, {"X-Error-Code": code, "X-Error-Message": code})
        return True

    def api(self, repo: str, rest: str) -> None:
        if self.refuse(repo):
            return
        named = rest.startswith(("/revision/", "/tree/"))
        revision = rest.split("/")[2] if named else "main"
        commit = self.hub.commit(revision)
        if commit is None:
            self.reply(404, {"X-Error-Code": "RevisionNotFound"})
            return
        root = self.hub.repos[repo]
        paths = sorted(p for p in root.rglob("*") if p.is_file())
        names = [p.relative_to(root).as_posix() for p in paths]
        if rest.startswith("/tree/"):
            result: object = [self.entry(p, n) for p, n in zip(paths, names, strict=True)]
        else:
            blobs = "blobs=" in self.path and not self.hub.plain
            siblings = [
                {"rfilename": name} | (self.blob(path) if blobs else {})
                for path, name in zip(paths, names, strict=True)
            ]
            result = {"id": repo, "modelId": repo, "sha": commit, "siblings": siblings}
        self.reply(200, {"Content-Type": "application/json"}, json.dumps(result).encode())

    def entry(self, path: Path, name: str) -> dict[str, object]:
        blob = self.blob(path)
        entry = {"type": "file", "path": name, "size": blob["size"], "oid": blob["blobId"]}
        if "lfs" in blob:
            digest = self.digest(path.read_bytes())
            entry["lfs"] = {"oid": digest, "size": blob["size"], "pointerSize": 134}
        return entry

    def blob(self, path: Path) -> dict[str, object]:
        data = path.read_bytes()
        size = self.hub.claims.get(path.name, len(data))
        if len(data) <= LARGE:
            return {"size": size, "blobId": self.digest(data)}
        lfs = {"sha256": self.digest(data), "size": size, "pointerSize": 134}
        return {"size": size, "blobId": git_sha1(b"a pointer"), "lfs": lfs}

    def digest(self, data: bytes) -> str:
        if len(data) > LARGE:
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(data).hexdigest() if self.hub.plain else git_sha1(data)

    def file(self, repo: str, name: str, *, cdn: bool, body: bool) -> None:
        if self.refuse(repo):
            return
        path = self.hub.repos[repo] / name
        if not path.is_file():
            self.reply(404, {"X-Error-Code": "EntryNotFound"})
            return
        data = path.read_bytes()
        large = len(data) > LARGE
        digest = self.digest(data)
        commit = self.hub.commit(
            unquote(urlsplit(self.path).path).split("/resolve/")[1].split("/")[0]
        )
        headers = {
            "X-Repo-Commit": commit or COMMIT,
            "ETag": f'"{digest}"',
            "Accept-Ranges": "bytes",
        }
        if cdn and self.hub.ages and urlsplit(self.path).query != f"Expires={self.hub.clock}":
            self.reply(403, {"Content-Type": "application/xml"}, b"<Code>AccessDenied</Code>")
            return
        if large and not cdn:
            headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(data))}
            location = self.hub.url.replace("127.0.0.1", "localhost") + "/cdn" + self.path
            location += f"?Expires={self.hub.clock}" if self.hub.ages else ""
            self.reply(302, headers | {"Location": location})
            return
        if body and self.hub.damaged.get(name, 0) > 0:
            self.hub.damaged[name] -= 1
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.hub.chunked and not large:
            self.send_chunked(headers, data, body=body)
            return
        start = 0
        if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start = int(match[1])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.send_response(206 if start else 200)
        for key, value in (headers | {"Content-Length": str(len(data) - start)}).items():
            self.send_header(key, value)
        self.end_headers()
        sent = self.send_body(data[start:], large) if body else 0
        self.hub.clock += large and body
        self.hub.requests.append((self.command, self.path.partition("?")[0], sent))

    def send_chunked(self, headers: dict[str, str], data: bytes, *, body: bool) -> None:
        headers = headers | {"Transfer-Encoding": "chunked"}
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            headers, data = headers | {"Content-Encoding": "gzip"}, gzip.compress(data)
        self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data))
        self.hub.requests.append((self.command, self.path, len(data) if body else 0))

    def send_body(self, data: bytes, large: bool) -> int:
        hub = self.hub
        if large and hub.drops_after is not None:
            data, hub.drops_after = data[: hub.drops_after], None
            self.close_connection = True
        elif large and hub.hangs_after is not None:
            data = data[: hub.hangs_after]
            self.wfile.write(data)
            hub.released.wait(60)
            self.close_connection = True
            return len(data)
        self.wfile.write(data)
        return len(data)


@contextmanager
def hub_server(repos: dict[str, Path]) -> Iterator[Hub]:
    """Serve `repos` (id → folder) until the block ends."""
    hub = Hub(repos)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
