"""Fetching one file of a hub from where an earlier attempt stopped."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

__all__ = ["fetch_rest"]

_LOGGER = logging.getLogger(__name__)
_SIGNATURE_ENDED = (400, 401, 403, 404, 410)
"""What stores of files answer to an address that was signed for an hour, when that is over."""


def fetch_rest(url: str, location: str, partial: Path, size: int | None) -> None:
    """Append to `partial` what is missing of a file of `size` bytes; None: the hub did not say.

    `location` is where `url` leads: often another host, with a signature that ends soon. Gigabytes
    may take longer, so the hub is then asked for another one. A `partial` that is longer than the
    file is begun anew.

    Raises:
        Exception: what huggingface_hub or the network make of a failure; see `hub_errors`.
    """
    asked_anew = False
    while True:
        before = _bytes_of(partial)
        try:
            _append(url, location, partial, size)
            return
        except HfHubHTTPError as error:
            arrived = _bytes_of(partial) != before
            ended = error.response.status_code in _SIGNATURE_ENDED
            if _same_host(url, location) or not ended or (asked_anew and not arrived):
                raise
        _LOGGER.info("%s: asking the hub for another address", partial.name)
        location, asked_anew = get_hf_file_metadata(url).location, True


def _append(url: str, location: str, partial: Path, size: int | None) -> None:
    # Not compressed on the way: only then has a range of bytes a meaning.
    headers = build_hf_headers(headers={"accept-encoding": "identity"})
    if not _same_host(url, location):
        headers.pop("authorization", None)  # the token is the hub's, not its CDN's
    have = _bytes_of(partial)
    with partial.open("ab") as stream:
        if size is None or have > size:
            have = 0
            stream.truncate(have)
        if size is None or have < size:
            http_get(
                location,
                stream,
                resume_size=have,
                headers=headers,
                expected_size=size,
                displayed_filename=url.rpartition("/")[2],
            )


def _same_host(url: str, location: str) -> bool:
    return urlsplit(location)[:2] == urlsplit(url)[:2]


def _bytes_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
