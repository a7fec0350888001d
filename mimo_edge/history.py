"""The turns of a conversation, and the prompts that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .engine import Engine
from .errors import WrongUseError
from .generation.events import TurnEnd
from .prompt import prompts
from .prompt.positions import Positions
from .prompt.prompts import Exchange, Reply
from .tasks import Overrides, PreparedTask, Turn, converse

__all__ = ["History", "Prepared"]

_RESERVE = 256
"""Positions kept free for an answer, or a quarter of a small context; when a prompt leaves
less, the oldest turn goes."""
_NEXT_REQUEST = 128
"""Positions (20 s) that `History.before_request` keeps free for a request besides, or an eighth of
a context: if the oldest turn went only with the request, all the others would be evaluated after
it."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A turn whose prompt is laid out; after `Session.prepare` it is in the session's cache."""

    turn: Exchange
    reply: Reply
    task: PreparedTask
    history: tuple[Exchange, ...]
    """The turns before it that the prompt holds."""
    after: Exchange | None
    """The turn that came before it, even if the prompt has no room for that."""
    evaluated: int
    """Positions that went through the backbone for it."""


@dataclass(kw_only=True)
class History:
    """What was said, oldest first, and how the conversation is held."""

    engine: Engine
    turns: list[Exchange]
    """The finished turns that the model still remembers."""
    reply: Reply
    system: str | None
    voice: NDArray[np.int64] | None
    """int64 [patches, group, channels]."""
    overrides: Overrides | None
    finished: bool = False
    """Whether the last answer ended by itself."""

    def next_turn(self, said: Turn) -> Prepared:
        """The next turn; leaves the oldest turns out while the prompt leaves no room.

        Raises:
            MimoEdgeError: the request cannot be read, or the bundle cannot answer like that.
        """
        if said.reply == "speech":  # before a prompt is evaluated that cannot be answered
            self.engine.manifest.check_speaks()
        turn = Exchange(request=said.request(self.engine.hearing))
        reply, history = said.reply or self.reply, tuple(self.turns)
        while True:
            task = converse(
                [*history, turn],
                reply,
                system=self.system,
                voice=self.voice,
                overrides=self.overrides,
            )
            if not history or self._fits(self.engine.layout.positions(task.pieces), 0):
                return Prepared(
                    turn=turn,
                    reply=reply,
                    task=task,
                    history=history,
                    after=self.turns[-1] if self.turns else None,
                    evaluated=0,
                )
            history = history[1:]

    def before_request(self) -> Positions:
        """What comes before the next request, whatever that will be.

        Forgets the oldest turns until there is room for a request of usual length.
        """
        next_request = min(_NEXT_REQUEST, self.engine.backbone.context // 8)
        while True:
            prompt = self.opening()
            if not self.turns or self._fits(prompt, next_request):
                return prompt
            del self.turns[0]

    def opening(self) -> Positions:
        """System prompt, voice and all turns, up to the next request."""
        pieces = prompts.until_request(self.turns, system=self.system, voice=self.voice)
        return self.engine.layout.positions(pieces)

    def check(self, prepared: Prepared) -> None:
        """Refuse a turn that was prepared when other turns were before it.

        Raises:
            WrongUseError: it was.
        """
        kept = self.turns[-len(prepared.history) :] if prepared.history else []
        same = [*map(id, kept)] == [*map(id, prepared.history)]
        if not same or (self.turns[-1] if self.turns else None) is not prepared.after:
            raise WrongUseError("the turn was prepared before another turn; prepare it again.")

    def remember(self, prepared: Prepared, end: TurnEnd) -> None:
        """Add a turn that was answered."""
        answer: str | Positions
        if prepared.reply == "speech":
            answer = Positions(end.text_ids, end.codes)
        else:
            answer = self.engine.text_of(end)[1]
        self.finished = end.reason == "stop"
        self.turns[:] = [*prepared.history, replace(prepared.turn, answer=answer)]

    def _fits(self, prompt: Positions, besides: int) -> bool:
        """Whether a prompt leaves room for an answer and so many positions besides."""
        context = self.engine.backbone.context
        return len(prompt) <= context - min(_RESERVE, context // 4) - besides
