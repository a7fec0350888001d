"""Bodies of requests: JSON and forms with files, within the server's limits.

A file from a caller is never opened by a name: what reaches the model is bytes that he sent.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ...bundle.untrusted_json import parse_json
from ..options import Limits
from .api_errors import ApiError
from .json_values import check_few_values
from .sounds import NamedFile, check_sound, read_sound

__all__ = ["Form", "Upload", "check_sound", "read_form", "read_json", "read_sound"]

_MOST_FIELDS = 64
_LONGEST_FIELD = 1 << 18
"""Bytes of a field that is no file."""
_FORM_AROUND = 1 << 20
"""Bytes that a form may have besides its file."""
_LONGEST_NAME = 80
_DEEPEST = 64
"""Lists and objects inside one another; the deepest real request has about six."""
_BRACKETS = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")


@dataclass(frozen=True, eq=False, kw_only=True)
class Upload:
    """A file that a caller sent; it lies in memory, or in a temporary file without a name."""

    name: str
    """What the caller calls it: for messages alone."""
    size: int
    """Bytes."""
    file: BinaryIO
    """Its content, at the beginning; it can be read at any place, and is a recording's source for
    the tasks of a model. Closed at the end of `read_form`."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Form:
    """What a `multipart/form-data` body holds."""

    fields: dict[str, Any]
    """Name → text; a list of texts for what is given as `name[]` or several times; a dictionary
    of texts for `name[key]`."""
    files: dict[str, Upload]

    def file(self, name: str) -> Upload:
        """The file of this field.

        Raises:
            ApiError: there is none.
        """
        if name in self.files:
            return self.files[name]
        if name in self.fields:
            raise ApiError(
                400,
                f"{name}: it is text; send it as a file (`-F {name}=@recording.wav`).",
                code="invalid_value",
                param=name,
            )
        raise ApiError(400, f"{name}: it is missing.", code="missing_parameter", param=name)


@contextlib.asynccontextmanager
async def read_form(
    request: Request, limits: Limits, *, files: Collection[str] = ("file",)
) -> AsyncIterator[Form]:
    """The fields and files of a form; the files are there until the block ends.

    `files` are the names of the fields that are files. More bytes than the limits allow are
    refused while they arrive.

    Raises:
        ApiError: it is no form, too large, damaged, or has a file where a text belongs.
    """
    if _content_type(request) != "multipart/form-data":
        raise ApiError(
            415,
            f"the request is {_content_type(request) or 'of no content type'}; send "
            "multipart/form-data, as `curl -F` does.",
            code="unsupported_media_type",
        )
    most = min(limits.body_bytes, len(files) * limits.upload_bytes + _FORM_AROUND)
    async with contextlib.aclosing(_bounded(request, most)) as stream:
        parser = MultiPartParser(
            _without_charset(request),
            stream,
            max_files=len(files),
            max_fields=_MOST_FIELDS,
            max_part_size=_LONGEST_FIELD,
        )
        try:
            form = await parser.parse()
        except MultiPartException as error:
            said = error.message.rstrip(".")
            raise ApiError(400, f"the form cannot be read ({said}).", code="bad_form") from error
    try:
        yield _form(form.multi_items(), limits, files)
    finally:
        await form.close()


async def read_json(request: Request, limits: Limits) -> dict[str, Any]:
    """The object that a JSON body holds.

    Raises:
        ApiError: it is no JSON, no object, too large, nested too deeply or of too many values.
    """
    kind = _content_type(request)
    if kind not in ("", "application/json") and not kind.endswith("+json"):
        raise ApiError(
            415,
            f"the request is {kind}; send application/json.",
            code="unsupported_media_type",
        )
    body = bytearray()
    async with contextlib.aclosing(_bounded(request, limits.json_bytes)) as stream:
        async for chunk in stream:
            body += chunk
    check_few_values(body)
    try:
        values = parse_json(bytes(body))
        _check_depth(values)
    except ValueError as error:  # also json.JSONDecodeError
        raise ApiError(400, f"the request is no JSON: {error}.", code="invalid_json") from error
    if not isinstance(values, dict):
        raise ApiError(400, "the request is no JSON object, {…}.", code="invalid_json")
    return values


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _without_charset(request: Request) -> Headers:
    """The form's type with its boundary alone.

    The reader decodes with whatever codec of Python's a caller names: some raise errors of their
    own, some make half characters of ASCII. Without a name it is UTF-8, as browsers send it.
    """
    _, params = parse_options_header(request.headers["content-type"])
    kind = b"multipart/form-data"
    if b"boundary" in params:
        boundary = params[b"boundary"].replace(b"\\", rb"\\").replace(b'"', rb"\"")
        kind += b'; boundary="' + boundary + b'"'
    return Headers(raw=[(b"content-type", kind)])


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body's pieces, until there are too many bytes."""
    taken = 0
    async for chunk in request.stream():
        taken += len(chunk)
        if taken > most:
            raise ApiError(
                413,
                f"the request has more than {most / 2**20:.3g} MiB, which is the limit here; send "
                "less at once.",
                code="too_large",
            )
        yield chunk


def _form(
    items: list[tuple[str, UploadFile | str]], limits: Limits, names: Collection[str]
) -> Form:
    fields: dict[str, Any] = {}
    uploads: dict[str, Upload] = {}
    for name, value in items:
        if isinstance(value, str):
            _add(fields, name, value)
        elif name in names:
            uploads[name] = _upload(name, value, limits)
        else:
            raise ApiError(
                400,
                f"{name[:_LONGEST_NAME]}: it is sent as a file; send it as text.",
                code="invalid_value",
                param=name[:_LONGEST_NAME],
            )
    return Form(fields=fields, files=uploads)


def _add(fields: dict[str, Any], name: str, value: str) -> None:
    brackets = _BRACKETS.fullmatch(name)
    if brackets is None:
        before = fields.get(name)
        if before is None:
            fields[name] = value
        else:
            fields[name] = [*(before if isinstance(before, list) else [before]), value]
        return
    name, key = brackets.groups()
    collected = fields.setdefault(name, {} if key else [])
    if key and isinstance(collected, dict):
        collected[key] = value
    elif not key and isinstance(collected, list):
        collected.append(value)
    else:
        raise ApiError(400, f"{name}: it is given in two ways.", code="invalid_value", param=name)


def _upload(param: str, given: UploadFile, limits: Limits) -> Upload:
    size = given.size or 0
    if size > limits.upload_bytes:
        raise ApiError(
            413,
            f"{param}: it has {size / 2**20:.3g} MiB, and at most "
            f"{limits.upload_bytes / 2**20:.3g} MiB are taken; send shorter or compressed "
            "recordings.",
            code="too_large",
            param=param,
        )
    name = "".join(char for char in given.filename or "" if char.isprintable())
    # A spooled file has no `seekable` before Python 3.11, and as a name its descriptor's number.
    file = NamedFile(cast("SpooledTemporaryFile[bytes]", given.file), name[:_LONGEST_NAME] or param)
    return Upload(name=file.name, size=size, file=cast(BinaryIO, file))


def _check_depth(values: Any) -> None:
    """Refuse what would need as many calls inside one another to walk through it."""
    level = [values]
    for _ in range(_DEEPEST):
        nested = [outer for outer in level if isinstance(outer, (dict, list))]
        if not nested:
            return
        level = [
            inner
            for outer in nested
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    raise ValueError(f"it is nested more than {_DEEPEST} deep")
