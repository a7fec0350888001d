"""Fetching one file of a hub from where an earlier attempt stopped."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub.file_download import http_get
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

__all__ = ["fetch_rest"]


def fetch_rest(url: str, location: str, partial: Path, size: int) -> None:
    """Append to `partial` what is missing of a file of `size` bytes.

    `location` is where `url` leads: often another host, with a signature that ends soon. A
    `partial` that is longer than the file is begun anew.

    Raises:
        Exception: what huggingface_hub or the network make of a failure; see `hub_errors`.
    """
    headers = build_hf_headers()
    if urlsplit(location)[:2] != urlsplit(url)[:2]:
        headers.pop("authorization", None)  # the token is the hub's, not its CDN's
    have = partial.stat().st_size if partial.exists() else 0
    with partial.open("ab") as stream:
        if have > size:
            have = 0
            stream.truncate(have)
        if have < size or not size:
            http_get(
                location,
                stream,
                resume_size=have,
                headers=headers,
                expected_size=size,
                displayed_filename=url.rpartition("/")[2],
            )
