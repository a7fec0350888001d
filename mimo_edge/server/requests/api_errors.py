"""Errors as OpenAI's API tells them, over HTTP and over websockets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from ...errors import (
    BadInputError,
    CannotSpeakError,
    DoesNotFitError,
    MimoEdgeError,
    MissingPackageError,
    NoMemoryError,
    NotSoundError,
    NotTrainedError,
)

__all__ = ["ApiError", "api_error"]


class ApiError(Exception):
    """A request that is not answered: a status, and a sentence for the person behind it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        """A word for programs, as OpenAI's codes: `unsupported_parameter`."""
        self.param = param
        """Which parameter it is about."""
        self.headers = dict(headers or {})

    @property
    def type(self) -> str:
        """OpenAI's word for the kind of the error."""
        if self.status == 401:
            return "authentication_error"
        if self.status == 403:
            return "permission_error"
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    @property
    def body(self) -> dict[str, Any]:
        """The object `error` of an answer or of an event."""
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }

    def response(self) -> JSONResponse:
        """The answer to an HTTP request."""
        return JSONResponse({"error": self.body}, self.status, headers=self.headers)


_STATUS: tuple[tuple[type[MimoEdgeError], int, str | None], ...] = (
    (DoesNotFitError, 400, "context_length_exceeded"),
    (CannotSpeakError, 400, "cannot_speak"),
    (NotTrainedError, 400, "not_trained"),
    (NotSoundError, 415, "unsupported_format"),
    (BadInputError, 400, None),
    (MissingPackageError, 415, "missing_package"),
    (NoMemoryError, 503, "no_memory"),
)


def api_error(error: MimoEdgeError, param: str | None = None) -> ApiError:
    """An error of the library as one of the API; `param` is what was given wrongly."""
    for kind, status, code in _STATUS:
        if isinstance(error, kind):
            return ApiError(status, str(error), code=code, param=param)
    return ApiError(500, str(error))
