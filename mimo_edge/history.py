"""The turns of a conversation, and the prompts that are made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .audio import AudioInput
from .engine import Engine
from .errors import BadInputError, WrongUseError
from .generation.events import TurnEnd
from .generation.heard import heard_part
from .prompt import prompts
from .prompt.positions import Positions
from .prompt.prompts import Exchange, Reply
from .tasks import Overrides, PreparedTask, Turn, converse

__all__ = ["History", "Prepared", "turn_of"]

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

    def keep_heard(self, played_samples: int) -> tuple[str, bool]:
        """Leave only what was heard of the last answer: patches that were played whole, with the
        text positions before them. A written answer stays as it is.

        Returns:
            (text that was said until then, an estimate; whether anything went).

        Raises:
            MimoEdgeError: there is no turn yet, or fewer than 0 samples.
        """
        if played_samples < 0 or not self.turns:
            raise WrongUseError(
                f"an answer cannot be cut after {played_samples} samples with {len(self.turns)} "
                "turns in the conversation; give 0 samples or more, after a turn."
            )
        answer = self.turns[-1].answer
        if not isinstance(answer, Positions):
            return (answer if isinstance(answer, str) else ""), False
        config, layout = self.engine.manifest.audio, self.engine.layout
        heard = heard_part(
            answer,
            played_samples // (config.samples_per_step * layout.group_size),
            finished=self.finished,
            layout=layout,
            tokenizer=self.engine.tokenizer,
        )
        if not heard.complete:
            self.turns[-1] = replace(self.turns[-1], answer=heard.positions)
        return heard.text, not heard.complete

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


def turn_of(
    audio: AudioInput | NDArray[np.int64] | Turn | None, text: str | None, reply: Reply | None
) -> Turn:
    """What is said next, however it was given.

    Raises:
        MimoEdgeError: it is audio and text.
    """
    if not isinstance(audio, Turn):
        return Turn(audio=audio, text=text, reply=reply)
    if text is not None:
        raise BadInputError("a turn is either audio or text; give one of them.")
    return audio if reply is None else replace(audio, reply=reply)
