"""What a hub on 127.0.0.1 needs so that repositories can be made and written: `hub_server`'s POST.

Small files come with the commit, large ones (`LARGE`) by git-lfs before it. Until the commit,
a repository shows what it showed before.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

LARGE = 1 << 16
NEW_COMMIT = "fedcba9876543210fedcba9876543210fedcba98"


class Uploads:
    """Blobs that have arrived, and what goes wrong with them."""

    def __init__(self, folder: Path, *, refused: int | None = None) -> None:
        """Keep blobs in `folder`; every attempt to write is answered with the status `refused`."""
        self.folder = folder
        self.refused = refused
        self.received: list[str] = []
        """SHA-256 of every large file that was sent, in order."""
        self.fails_after: int | None = None
        """Large files that arrive before the server begins to answer with 500."""

    def post(self, hub: Any, path: str, body: bytes) -> tuple[int, object]:
        """Status and JSON of the answer."""
        if self.refused is not None:
            return self.refused, {"error": "no room for more"}
        if path == "/api/repos/create":
            request = json.loads(body)
            repo = f"{request.get('organization')}/{request['name']}"
            if repo in hub.repos:
                return 409, {"url": f"{hub.url}/{repo}"}
            hub.repos[repo] = self.folder / repo.replace("/", "--")
            hub.repos[repo].mkdir()
            return 200, {"url": f"{hub.url}/{repo}", "name": repo}
        if path == "/api/validate-yaml":
            if "license: nonsense" in json.loads(body)["content"]:
                return 400, {"errors": [{"message": '"license" must be one of them'}]}
            return 200, {"errors": [], "warnings": []}
        if match := re.fullmatch(r"/api/models/[^/]+/[^/]+/branch/([^/]+)", path):
            hub.commits[match[1]] = hub.commits["main"]
            return 200, {}
        if "/preupload/" in path:
            files = json.loads(body)["files"]
            modes = {True: "lfs", False: "regular"}
            told = [
                {"path": f["path"], "uploadMode": modes[f["size"] > LARGE], "shouldIgnore": False}
                for f in files
            ]
            return 200, {"files": told}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, {"transfer": "basic", "objects": self._batch(hub, json.loads(body))}
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/[^/]+", path):
            self._commit(hub.repos[match[1]], body.splitlines())
            url = f"{hub.url}/{match[1]}/commit/{NEW_COMMIT}"
            return 200, {"success": True, "commitOid": NEW_COMMIT, "commitUrl": url}
        return 404, {}

    def put(self, path: str, body: bytes) -> int:
        """Take a large file; the status of the answer."""
        if self.fails_after is not None and len(self.received) >= self.fails_after:
            return 500
        oid = path.rpartition("/")[2]
        assert hashlib.sha256(body).hexdigest() == oid
        (self.folder / oid).write_bytes(body)
        self.received.append(oid)
        return 200

    def _batch(self, hub: Any, request: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            wanted
            if (self.folder / wanted["oid"]).exists()
            else {**wanted, "actions": {"upload": {"href": f"{hub.url}/put/{wanted['oid']}"}}}
            for wanted in request["objects"]
        ]

    def _commit(self, root: Path, lines: list[bytes]) -> None:
        for line in lines:
            change = json.loads(line)
            value = change["value"]
            if change["key"] == "file":
                (root / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif change["key"] == "lfsFile":
                (root / value["path"]).write_bytes((self.folder / value["oid"]).read_bytes())
            elif change["key"] == "deletedFile":
                (root / value["path"]).unlink()
