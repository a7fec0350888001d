"""The items of a conversation, in their order. They are what the model remembers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..requests.api_errors import ApiError
from .contents import Content, InputAudio, InputText, OutputAudio, OutputText

__all__ = ["Item", "Items", "Role"]

Role = Literal["user", "assistant", "system"]

_MOST_ITEMS = 2000
_MOST_CHARACTERS = 2_000_000
_MOST_SOUND_S = 3600.0
"""Together they bound a session's memory, and are more than any context holds."""
_SOUND_S = 300.0
"""Seconds of sound that are kept of each side, so that items can be sent back with it."""


@dataclass(kw_only=True, eq=False)
class Item:
    """A message of one side, or a call of a function, which this model never makes."""

    id: str
    role: Role | None = None
    """None: no message."""
    contents: list[Content] = field(default_factory=list)
    status: Literal["in_progress", "completed", "incomplete"] = "completed"
    other: Mapping[str, Any] = field(default_factory=dict)
    """What there is besides of an item that is no message."""

    @property
    def characters(self) -> int:
        """How much text it holds."""
        texts = [part.text for part in self.contents if isinstance(part, InputText | OutputText)]
        spoken = [part for part in self.contents if isinstance(part, InputAudio | OutputAudio)]
        said = [part.transcript or "" for part in spoken]
        other = [text for text in self.other.values() if isinstance(text, str)]
        return sum(map(len, (*texts, *said, *other)))

    def shown(self) -> dict[str, Any]:
        """As a client sees it, without sound."""
        return self._shown([content.shown() for content in self.contents])

    def shown_whole(self, rate: int, client_rate: int) -> dict[str, Any]:
        """As a client sees it, with its sound; `rate` is the model's."""
        parts = []
        for content in self.contents:
            part = content.shown()
            if isinstance(content, InputAudio | OutputAudio):
                pcm = content.pcm(rate, client_rate)
                part["audio"] = base64.b64encode(pcm.tobytes()).decode() if pcm is not None else ""
            parts.append(part)
        return self._shown(parts)

    def _shown(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        known = {"id": self.id, "object": "realtime.item", "status": self.status}
        if self.role is None:
            return {**self.other, **known}
        return {**known, "type": "message", "role": self.role, "content": parts}


class Items:
    """The conversation of one session. For the event loop."""

    def __init__(self, rate: int) -> None:
        """Sound of the user has `rate` Hz, the model's."""
        self._rate = rate
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        """From the first to the last."""
        return iter(self._items)

    @property
    def ids(self) -> list[str]:
        """Of all items, in their order."""
        return [item.id for item in self._items]

    @property
    def last_id(self) -> str | None:
        """Of the last item."""
        return self._items[-1].id if self._items else None

    def before(self, item: Item) -> str | None:
        """The id of the item before; None: there is none, or the client deleted this one."""
        index = self._items.index(item) if item in self._items else 0
        return self._items[index - 1].id if index else None

    def add(self, item: Item, after: str | None = None) -> None:
        """Put an item behind another one, at the beginning (`root`), or at the end (None).

        Raises:
            ApiError: there is no such item, or one of the same id.
        """
        if any(other.id == item.id for other in self._items):
            raise ApiError(
                400,
                f"item.id: {item.id!r} is in the conversation already.",
                code="item_already_exists",
                param="item.id",
            )
        self._items.insert(self._place(after), item)
        self._forget_oldest()

    def clear(self) -> None:
        """Forget all of them."""
        self._items.clear()

    def get(self, item_id: str) -> Item:
        """The item of an id.

        Raises:
            ApiError: there is none.
        """
        return self._items[self._index(item_id, "item_id")]

    def delete(self, item_id: str) -> None:
        """Take an item out.

        Raises:
            ApiError: there is none.
        """
        del self._items[self._index(item_id, "item_id")]

    def check(self, given: Sequence[Item], param: str) -> None:
        """Whether items that an answer is to be made of are no more than a conversation holds.

        Raises:
            ApiError: they are more. An item counts as often as it is in it.
        """
        characters = sum(item.characters for item in given)
        parts = [part for item in given for part in item.contents]
        seconds = sum(
            self._seconds(part) for part in parts if isinstance(part, InputAudio | OutputAudio)
        )
        for amount, most, unit in (
            (characters, _MOST_CHARACTERS, "characters"),
            (seconds, _MOST_SOUND_S, "seconds of sound"),
        ):
            if amount > most:
                raise ApiError(
                    400,
                    f"{param}: its items have {amount:.0f} {unit} together; give at most "
                    f"{most:.0f}.",
                    code="invalid_value",
                    param=param,
                )

    def _place(self, after: str | None) -> int:
        if after is None:
            return len(self._items)
        return 0 if after == "root" else self._index(after, "previous_item_id") + 1

    def _index(self, item_id: str, param: str) -> int:
        for index, item in enumerate(self._items):
            if item.id == item_id:
                return index
        raise ApiError(
            400,
            f"{param}: there is no item {item_id[:80]!r} in the conversation.",
            code="item_not_found",
            param=param,
        )

    def _forget_oldest(self) -> None:
        """Items that no context holds; and sound that is only kept for sending back."""
        characters, seconds = 0, {InputAudio: 0.0, OutputAudio: 0.0}
        for index in range(len(self._items) - 1, -1, -1):
            item = self._items[index]
            characters += item.characters
            for part in item.contents:
                if isinstance(part, InputAudio | OutputAudio):
                    seconds[type(part)] += self._seconds(part)
                    if seconds[type(part)] > _SOUND_S:
                        part.forget_sound()
            many = len(self._items) - index > _MOST_ITEMS
            if many or characters > _MOST_CHARACTERS or sum(seconds.values()) > _MOST_SOUND_S:
                del self._items[: index + 1 if index < len(self._items) - 1 else index]
                return

    def _seconds(self, part: InputAudio | OutputAudio) -> float:
        given = part.utterance.length / self._rate if part.utterance is not None else 0.0
        if isinstance(part, OutputAudio):  # said here and sent, or elsewhere and given
            return given + part.sent_samples / part.client_rate
        return given
