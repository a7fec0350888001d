"""What the next answer is to be made of, from the items and the settings."""

from __future__ import annotations

from dataclasses import replace

from ...tasks import Overrides
from .contents import Content, InputText
from .items import Items
from .plan import Plan
from .settings import Settings

__all__ = ["Planner"]

_MOST_TOKENS = 4096
"""Of an answer whose length is not limited: 11 minutes of speech at most."""


class Planner:
    """Plans answers to a conversation as it is when it is asked. For the event loop."""

    def __init__(self, items: Items, overrides: Overrides) -> None:
        """`overrides` are the server's samplers."""
        self._items, self._overrides = items, overrides

    def said(self, *more: Content) -> list[Content]:
        """What both sides said so far, from the first to the last, and what comes behind."""
        items = [item for item in self._items if item.role != "system"]
        return [*(content for item in items for content in item.contents), *more]

    def plan(self, settings: Settings, said: list[Content]) -> Plan:
        """How to answer to what was said."""
        tokens = settings.max_output_tokens
        most = self._overrides.max_new_tokens or _MOST_TOKENS
        wanted = min(tokens, most) if isinstance(tokens, int) else most
        return Plan(
            said=tuple(said),
            reply="speech" if settings.speaks else "text",
            system=self._system(settings),
            voice=settings.voice,
            overrides=replace(self._overrides, max_new_tokens=wanted),
        )

    def _system(self, settings: Settings) -> str | None:
        """The instructions, and what system messages say: the model has one place for both."""
        messages = [item for item in self._items if item.role == "system"]
        texts = [
            content.text
            for item in messages
            for content in item.contents
            if isinstance(content, InputText)
        ]
        return "\n".join(text for text in (settings.instructions, *texts) if text) or None
