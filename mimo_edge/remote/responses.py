"""The questions and answers of a conversation with a server: what to send, what came of it.

No thread and no socket: it is given what the conversation asks for and what the server says.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dialogue.model_events import Failed, ModelEvent, Sound, Text, Told, Transcribed, Truncated
from ..generation.events import StopReason
from .client_events import (
    cancel,
    create_item,
    create_response,
    delete_item,
    text_content,
    truncate_item,
)
from .history import History, answer_name, question_name
from .remote_answer import RemoteAnswer
from .server_events import (
    AudioDelta,
    Committed,
    ErrorEvent,
    OutputItemAdded,
    ResponseCreated,
    ResponseDone,
    ServerEvent,
    TextDelta,
    TranscriptionCompleted,
    TranscriptionFailed,
    Usage,
)
from .upload import Upload

__all__ = ["Responses"]

Samples = NDArray[np.float32]

_LONGEST_ANSWER_S = 600.0
"""Seconds of sound after which an answer is cut off, so that no server can fill the memory."""
_REMEMBERED = 8
"""Latest answers whose questions may still be told in words."""
_HARMLESS = frozenset({"response_cancel_not_active"})
"""Errors that say that there is nothing left to do."""
_CUT = "cut"
"""How the names of events begin that only take back what was not heard."""

_log = logging.getLogger(__name__)


class Responses:
    """One conversation with a server, over one connection after another; for one thread.

    A response begins only after the one before is over, although it may be cancelled long before:
    that is what servers want, and then all of its items are known that are to be cut.
    """

    def __init__(
        self,
        send: Callable[[dict[str, Any]], None],
        post: Callable[[ModelEvent], None],
        *,
        rate: int,
        speaks: bool,
    ) -> None:
        """`send` tells the server, `post` the conversation. Sound has `rate` Hz on both sides.

        `speaks`: whether answers have sound.
        """
        self._send, self._post = send, post
        self._rate, self._speaks = rate, speaks
        self._upload = Upload()
        self._history = History(rate)
        self._uncommitted: deque[RemoteAnswer] = deque()
        """Answers whose questions have no name yet; the server tells names in their order."""
        self._running: RemoteAnswer | None = None
        """Whose response was asked for and is not over."""
        self._waiting: RemoteAnswer | None = None
        """Whose response is asked for when that one is over."""
        self._answers: dict[int, RemoteAnswer] = {}
        """The latest ones, by turn."""

    def hear(self, samples: Samples) -> None:
        """The question goes on, and begins with these samples: float32 [n]."""
        self._upload.send(samples, self._send)

    def answer(self, turn: int, samples: Samples) -> None:
        """Have float32 [n] answered."""
        answer = RemoteAnswer(turn=turn, question=samples)
        self._answers[turn] = answer
        while len(self._answers) > _REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._ask(answer)

    def stop(self, turn: int, heard: int) -> None:
        """End the answer and keep what `heard` samples of its sound said."""
        answer = self._answers[turn]
        noticed = heard > 0 or (not self._speaks and answer.begun)
        answer.said = said = answer.heard_text(heard, self._rate) if noticed else ""
        answer.heard, answer.unwanted = heard, not noticed
        if noticed:
            self._history.keep(turn, answer.question, said)
        else:
            self._history.drop(turn)
        ended = answer.ended or answer.end("cancelled", None, self._rate)
        self._post(Truncated(turn=turn, text=said, ended=ended))
        if answer is self._running:
            self._send(cancel(answer.response))
            return
        if answer is self._waiting:
            self._waiting = None
        self._cut(answer)

    def take(self, event: ServerEvent) -> None:
        """What the server says.

        Raises:
            ValueError: an event is not what it should be.
        """
        running = self._running
        if isinstance(event, AudioDelta | TextDelta | OutputItemAdded):
            if running is not None and running.response == event.response_id:
                self._take_part(running, event)
        elif isinstance(event, Committed):
            self._committed(event.item_id)
        elif isinstance(event, ResponseCreated):
            self._created(event.response.id)
        elif isinstance(event, ResponseDone):
            if running is not None and running.response == event.response.id:
                self._over(running, event)
        elif isinstance(event, TranscriptionCompleted | TranscriptionFailed):
            self._transcribed(event)
        elif isinstance(event, ErrorEvent):
            self._problem(event)

    @property
    def expects(self) -> bool:
        """Whether the server is to answer something."""
        return self._running is not None or self._waiting is not None

    def lose(self) -> None:
        """The server has forgotten all of it. An answer that had begun ends with what came."""
        answer = self._running
        if answer is not None and answer.begun and answer.ended is None:
            self._end(answer, "cancelled", None)
        self._upload.lose()
        self._uncommitted.clear()

    def begin_again(self, send: Callable[[dict[str, Any]], None]) -> None:
        """Tell another session what was said, and ask again what was not answered."""
        self._send = send
        for event in self._history.items():
            send(event)
        for answer in self._answers.values():
            answer.retold(question_name(answer.turn), answer_name(answer.turn))
        again = [answer for answer in (self._running, self._waiting) if answer is not None]
        self._running = self._waiting = None
        for answer in again:
            if answer.ended is None:
                self._ask(answer)

    def _ask(self, answer: RemoteAnswer) -> None:
        # Known before anything is sent: if that fails, it is asked again over a new connection.
        if self._running is None:
            self._running = answer
        else:
            self._waiting = answer
        self._uncommitted.append(answer)
        self._upload.commit(answer.question, _commit_name(answer), self._send)
        if answer is self._running:
            self._send(create_response(_response_name(answer)))

    def _committed(self, item: str) -> None:
        if self._uncommitted:
            answer = self._uncommitted.popleft()
            answer.question_item = item
            if answer.unwanted and answer is not self._running:
                self._cut(answer)

    def _created(self, response: str) -> None:
        answer = self._running
        if answer is None or answer.response is not None:
            self._send(cancel(response))  # which nobody asked for
            return
        answer.response = response
        if answer.ended is not None:  # stopped before there was anything to cancel
            self._send(cancel(response))

    def _take_part(
        self, answer: RemoteAnswer, part: AudioDelta | TextDelta | OutputItemAdded
    ) -> None:
        wanted = answer.ended is None
        if isinstance(part, OutputItemAdded):
            answer.items.append(part.item.id)
        elif isinstance(part, TextDelta):
            if wanted:
                answer.add_text(part.delta)
                self._post(Text(turn=answer.turn, text=part.delta))
        else:
            samples = part.samples()
            answer.add_sound(part, len(samples))
            if wanted:
                self._post(Sound(turn=answer.turn, samples=samples))
            if wanted and answer.received > _LONGEST_ANSWER_S * self._rate:
                self._send(cancel(answer.response))
                self._end(answer, "length", None)

    def _over(self, answer: RemoteAnswer, event: ResponseDone) -> None:
        self._running = None
        response = event.response
        if answer.ended is not None:
            self._cut(answer)
        elif response.status == "failed":
            self._fail(answer, response.problem)
        else:
            self._end(answer, response.stop_reason, response.usage)
            if response.is_filtered:
                self._post(Told(sentence="the server does not say the rest of this answer."))
        self._go_on()

    def _end(self, answer: RemoteAnswer, reason: StopReason, usage: Usage | None) -> None:
        self._history.keep(answer.turn, answer.question, answer.text.strip())
        self._post(answer.end(reason, usage, self._rate))

    def _fail(self, answer: RemoteAnswer, problem: str) -> None:
        """The question is gone, or whatever is said next would fail too."""
        answer.end("cancelled", None, self._rate)
        answer.unwanted = True
        self._post(Failed(turn=answer.turn, sentence=_said(problem)))
        self._cut(answer)

    def _go_on(self) -> None:
        self._running, self._waiting = self._waiting, None
        if self._running is not None:
            self._send(create_response(_response_name(self._running)))

    def _cut(self, answer: RemoteAnswer) -> None:
        """Make the server forget what of an answer was not heard; its response is over."""
        name = f"{_CUT}_{answer.turn}"
        if answer.unwanted:
            for item in answer.take_names():
                self._send(delete_item(item, name))
        elif answer.heard is None:  # all of it
            return
        elif answer.is_retold:
            said = text_content(answer.said)
            self._send(delete_item(answer_name(answer.turn), name))
            self._send(create_item(f"{answer_name(answer.turn)}_{_CUT}", "assistant", said, name))
        else:
            for item, content_index, milliseconds in answer.cuts(answer.heard, self._rate):
                self._send(
                    truncate_item(item, content_index, milliseconds, name)
                    if milliseconds
                    else delete_item(item, name)
                )

    def _transcribed(self, event: TranscriptionCompleted | TranscriptionFailed) -> None:
        for answer in self._answers.values():
            if answer.question_item == event.item_id and not answer.unwanted:
                if isinstance(event, TranscriptionFailed):
                    self._post(Told(sentence=_said(event.error.message)))
                else:
                    self._post(Transcribed(turn=answer.turn, text=event.transcript.strip()))

    def _problem(self, event: ErrorEvent) -> None:
        error = event.error
        answer = self._refused(error.event_id)
        if answer is not None and error.event_id == _commit_name(answer):
            # Its question gets no name: the next one that is told is another's.
            self._uncommitted = deque(other for other in self._uncommitted if other is not answer)
        if error.code in _HARMLESS or (error.event_id or "").startswith(_CUT):
            _log.info("the server says: %s", error.code)
        elif answer is None:
            self._post(Told(sentence=_said(error.message)))
        elif answer is self._waiting:
            self._waiting = None
            self._fail(answer, error.message)
        else:
            self._running = None
            if answer.ended is None:
                self._fail(answer, error.message)
            self._go_on()

    def _refused(self, event_id: str | None) -> RemoteAnswer | None:
        """The answer that there will not be, if an error is about that event."""
        for answer in (self._running, self._waiting):
            if answer is not None and event_id in (_commit_name(answer), _response_name(answer)):
                return answer
        # Some servers do not tell what an error is about; what waits for one is then refused.
        running = self._running
        begins = running is not None and running.response is None
        return running if event_id is None and begins else None


def _commit_name(answer: RemoteAnswer) -> str:
    return f"commit_{answer.turn}"


def _response_name(answer: RemoteAnswer) -> str:
    return f"response_{answer.turn}"


def _said(message: str) -> str:
    return f"the server says: {' '.join(message.split())}"
