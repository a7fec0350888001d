"""Bodies within limits: JSON, forms, and sounds that are looked at before they are decoded."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from mimo_edge.server.options import Limits
from mimo_edge.server.requests.api_errors import ApiError
from mimo_edge.server.requests.uploads import check_sound, read_form, read_json, read_sound

LIMITS = Limits(
    upload_bytes=1 << 20, body_bytes=2 << 20, json_bytes=1 << 16, upload_seconds=60,
    upload_channels=2,
)  # fmt: skip
DEMO = Path(__file__).parents[2] / "data" / "demo"


async def form(request: Request) -> Response:
    async with read_form(request, LIMITS) as form:
        upload = form.file("file")
        return JSONResponse(
            {"fields": form.fields, "name": upload.name, "content": len(upload.file.read())}
        )


async def values(request: Request) -> Response:
    return JSONResponse(await read_json(request, LIMITS))


async def sound(request: Request) -> Response:
    async with read_form(request, LIMITS) as form:
        return JSONResponse({"samples": len(read_sound(form.file("file").file, 24000, LIMITS))})


async def tell(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


def routes(*handlers: Callable[[Request], Awaitable[Response]]) -> list[Route]:
    return [Route(f"/{handler.__name__}", handler, methods=["POST"]) for handler in handlers]


@pytest.fixture(scope="module")
def reader() -> Iterator[httpx.Client]:
    app = Starlette(routes=routes(form, values, sound), exception_handlers={ApiError: tell})
    with TestClient(app) as client:
        yield client  # type: ignore[misc]


def wav(seconds: float, *, channels: int = 1, rate: int = 16000) -> bytes:
    file = io.BytesIO()
    tone = 0.1 * np.sin(np.arange(int(seconds * rate)) / 20)
    soundfile.write(file, np.tile(tone[:, None], channels), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def error_of(answer: httpx.Response) -> dict[str, str]:
    error = answer.json()["error"]
    assert isinstance(error, dict)
    return error


def test_a_form_is_read_with_lists_and_dictionaries(reader: httpx.Client) -> None:
    data = {
        "model": "whisper-1",
        "prompt": "Zürich",
        "timestamp_granularities[]": ["word", "segment"],
        "include": ["a", "b"],
        "chunking_strategy[type]": "server_vad",
    }
    answer = reader.post("/form", data=data, files={"file": ("Ä\n.wav", b"12345")})
    assert answer.json() == {
        "fields": {
            "model": "whisper-1",
            "prompt": "Zürich",
            "timestamp_granularities": ["word", "segment"],
            "include": ["a", "b"],
            "chunking_strategy": {"type": "server_vad"},
        },
        "name": "Ä%0A.wav",
        "content": 5,
    }


@pytest.mark.parametrize("charset", ["utf-8", "raw_unicode_escape", "punycode", "undefined"])
def test_a_form_is_utf_8_whatever_its_type_says(reader: httpx.Client, charset: str) -> None:
    part = "Content-Disposition: form-data; name="
    body = f'--a b\r\n{part}"prompt"\r\n\r\nZürich \\ud800\r\n' + (
        f'--a b\r\n{part}"file"; filename="Ä.wav"\r\n\r\n12345\r\n--a b--\r\n'
    )
    kind = f'multipart/form-data; charset={charset}; boundary="a b"'
    answer = reader.post("/form", content=body.encode(), headers={"content-type": kind})
    fields = {"prompt": "Zürich \\ud800"}
    assert answer.json() == {"fields": fields, "name": "Ä.wav", "content": 5}


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"data": {"model": "x"}, "files": {"other": b"1"}}, 400, "invalid_value"),
        ({"files": {"file": b"1", "model": b"x"}}, 400, "bad_form"),  # one file is allowed
        ({"data": {"file": "/etc/passwd"}, "files": {"x": ""}}, 400, "invalid_value"),
        ({"files": {"file": bytes((1 << 20) + 1)}}, 413, "too_large"),
        ({"files": {"file": bytes(3 << 20)}}, 413, "too_large"),
        ({"data": {"prompt": "x" * (1 << 19)}, "files": {"file": b"1"}}, 400, "bad_form"),
        (
            {"data": {f"field{i}": "x" for i in range(100)}, "files": {"file": b"1"}},
            400,
            "bad_form",
        ),
        ({"json": {"file": "x"}}, 415, "unsupported_media_type"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad_form"),
        (
            {
                "content": b"--x\r\nthis is nothing",
                "headers": {"content-type": "multipart/form-data; boundary=x"},
            },
            400,
            "bad_form",
        ),
        ({"data": {"a": ["x"], "a[b]": "y"}, "files": {"file": b"1"}}, 400, "invalid_value"),
    ],
)
def test_a_form_that_cannot_be_taken_is_refused(
    reader: httpx.Client, given: dict[str, object], status: int, code: str
) -> None:
    answer = reader.post("/form", **given)  # type: ignore[arg-type]
    assert answer.status_code == status
    assert error_of(answer)["code"] == code


def test_a_missing_file_is_named(reader: httpx.Client) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    part = '--x\r\nContent-Disposition: form-data; name="{}"\r\n\r\n/etc/passwd\r\n--x--\r\n'
    answer = reader.post("/form", content=part.format("model").encode(), headers=headers)
    assert error_of(answer)["message"] == "file: it is missing."
    answer = reader.post("/form", content=part.format("file").encode(), headers=headers)
    assert answer.status_code == 400
    assert "send it as a file" in error_of(answer)["message"]


def test_json_is_read(reader: httpx.Client) -> None:
    given = {"input": "ü", "list": [{"a": None}]}
    assert reader.post("/values", json=given).json() == given


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "no JSON"),
        (b"[1]", 400, "no JSON object"),
        (b'{"a": NaN}', 400, "NaN is no number"),
        (b'{"a": 1, "a": 2}', 400, "twice"),
        (b'{"a": "\\ud800"}', 400, "surrogate"),
        (b'{"a": "\xff"}', 400, "no UTF-8"),
        (b'{"a":' + b"[" * 30000 + b"]" * 30000 + b"}", 400, "deep"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", 400, "64 deep"),
        (json.dumps({"a": "x" * (1 << 16)}).encode(), 413, "more than 0.0625 MiB"),
    ],
)
def test_what_is_no_json_is_told(reader: httpx.Client, body: bytes, status: int, said: str) -> None:
    answer = reader.post("/values", content=body)
    assert answer.status_code == status
    assert said in error_of(answer)["message"]


def test_a_form_where_json_belongs_is_refused(reader: httpx.Client) -> None:
    answer = reader.post("/values", data={"a": "b"})
    assert answer.status_code == 415
    assert "application/x-www-form-urlencoded" in error_of(answer)["message"]


@pytest.mark.parametrize("size", [1, 40])
def test_a_sound_is_read_from_memory_and_from_disk(reader: httpx.Client, size: int) -> None:
    answer = reader.post("/sound", files={"file": ("a.wav", wav(size * 0.5))})
    assert answer.json()["samples"] == pytest.approx(size * 12000, abs=2)


def test_sounds_beyond_the_limits_are_refused_by_their_header(reader: httpx.Client) -> None:
    """A header of 44 bytes may claim hours, and as many channels as fit into 16 bits."""
    whole = wav(1)
    tooth = bytearray(whole)
    struct.pack_into("<H", tooth, 22, 64)  # channels
    struct.pack_into("<H", tooth, 32, 128)  # bytes of a sample of all channels
    answer = reader.post("/sound", files={"file": ("many.wav", bytes(tooth))})
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "too_many_channels"
    with io.BytesIO() as file:
        soundfile.write(file, np.zeros(4_000_000, np.int16), 16000, format="FLAC")
        bomb = file.getvalue()
    assert len(bomb) < 100_000
    answer = reader.post("/sound", files={"file": ("bomb.flac", bomb)})
    assert answer.status_code == 413
    assert error_of(answer)["code"] == "audio_too_long"
    assert "250 s long" in error_of(answer)["message"]


def test_a_header_that_lies_does_not_help() -> None:
    """A FLAC of 250 s that says it has one: it is read to the limit and no further."""
    with io.BytesIO() as file:
        soundfile.write(file, np.zeros(4_000_000, np.int16), 16000, format="FLAC")
        bomb = bytearray(file.getvalue())
    bomb[22:26] = (16000).to_bytes(4, "big")
    assert check_sound(bytes(bomb), LIMITS).seconds == 1
    with pytest.raises(ApiError, match="at most") as raised:
        read_sound(bytes(bomb), 24000, LIMITS)
    assert raised.value.status == 400


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, None),
        (b"this is text " * 100, 415, "unsupported_format"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), 415, "unsupported_format"),
        (wav(1)[:30], 400, None),
    ],
)
def test_what_is_no_sound_is_refused(
    reader: httpx.Client, content: bytes, status: int, code: str | None
) -> None:
    answer = reader.post("/sound", files={"file": ("notes.wav", content)})
    assert answer.status_code == status
    error = error_of(answer)
    assert error["code"] == code
    assert "notes.wav" in error["message"]


def test_a_name_is_never_opened() -> None:
    recording = str(next(DEMO.glob("*.flac")))
    with pytest.raises(TypeError):
        check_sound(recording, LIMITS)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        read_sound(recording, 24000, LIMITS)  # type: ignore[arg-type]
