"""Which parameters of a request have an effect, which do not matter, which would mislead.

Clients send much that this server has no use for. What is *honoured* is a field of the endpoint's
model. *Misleading* is what a caller would rely on in vain: it is refused by its name. All else is
harmless: accepted without an effect, and refused only by a strict server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .api_errors import ApiError

__all__ = ["Parameters", "first_problem", "read_parameters"]


class Parameters(BaseModel):
    """What an endpoint takes; each endpoint has a subclass, whose fields are honoured."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)

    misleading: ClassVar[Mapping[str, str]] = {}
    """Name → why it is refused, if it is given and not null."""


_SAID: Mapping[str, str] = {
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "dataclass_type"),
        "it should be an object",
    ),
    "list_type": "it should be a list",
}
"""Kind of a problem → what is said about it, where pydantic speaks of its own classes."""

P = TypeVar("P", bound=Parameters)


def read_parameters(kind: type[P], given: Mapping[str, Any], *, strict: bool = False) -> P:
    """The parameters of a request, checked.

    Raises:
        ApiError: a value is wrong, a parameter is misleading, or, if `strict`, unknown.
    """
    for name, why in kind.misleading.items():
        if given.get(name) not in (None, False, [], ""):
            raise ApiError(400, f"{name}: {why}", code="unsupported_parameter", param=name)
    known = {field.alias or name for name, field in kind.model_fields.items()}
    unknown = [name for name in given if name not in known and name not in kind.misleading]
    if strict and unknown:
        raise ApiError(
            400,
            f"{unknown[0]}: this server has no use for it, and it is strict; leave it out.",
            code="unknown_parameter",
            param=unknown[0],
        )
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        raise first_problem(error, given) from error


def first_problem(error: ValidationError, given: Any = None) -> ApiError:
    """The first thing that is wrong with a request, as a sentence with the value.

    With all that was `given`, it is named by its place in that; pydantic's own names of places hold
    words for the alternatives that it tried, too.
    """
    problem = error.errors(include_url=False)[0]
    kind, place = problem["type"], problem["loc"]
    where = ".".join(map(str, place if given is None else _place(place, given, kind)))
    if kind == "union_tag_not_found":
        kind, where = "missing", ".".join(filter(None, (where, "type")))
    if kind == "missing":
        return ApiError(400, f"{where}: it is missing.", code="missing_parameter", param=where)
    value = repr(problem["input"])
    shown = value if len(value) <= 60 else f"{value[:57]}…"
    said = _SAID.get(kind, problem["msg"][:1].lower() + problem["msg"][1:])
    if kind == "union_tag_invalid":
        said = f"its type should be one of {problem['ctx']['expected_tags']}"
    sentence = f"{where}: {said}, and it is {shown}." if where else f"{said}; it is {shown}."
    return ApiError(400, sentence, code="invalid_value", param=where or None)


def _place(place: tuple[int | str, ...], given: Any, kind: str) -> list[int | str]:
    """Where a problem is, in names of the request only."""
    found: list[int | str] = []
    here = given
    for index, part in enumerate(place):
        is_item = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if is_item or (isinstance(here, Mapping) and part in here):
            here = here[part]
        elif kind != "missing" or index < len(place) - 1:
            continue  # the name of an alternative
        found.append(part)
    return found
