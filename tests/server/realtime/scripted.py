"""A session without a socket, a model or a clock: a test plays all other sides.

The signal's value is the probability of speech.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from mimo_edge.generation.events import StopReason, TurnEnd, TurnStats
from mimo_edge.server.realtime.client_events import Append, read_event
from mimo_edge.server.realtime.contents import InputAudio, Spoken
from mimo_edge.server.realtime.model_port import Answered, SoundDelta, TextDelta
from mimo_edge.server.realtime.plan import Plan
from mimo_edge.server.realtime.session import Session, SessionOptions
from mimo_edge.server.requests.api_errors import ApiError
from mimo_edge.tasks import Overrides
from tests.tools.scripted_detector import ScriptedDetector

RATE = 24_000
CHUNK = 768
QUIET, VOICE = 0.0, 0.9
STEP_S = 0.05


class Model:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.heard: list[np.ndarray] = []
        self.prepared: list[Plan] = []
        self.forgotten = 0
        self.answers: list[tuple[str, Plan]] = []
        self.aside: list[str] = []
        self.stopped: list[str] = []
        self.transcribed: list[str] = []
        self.languages: list[str | None] = []
        self.spoken: dict[str, Spoken] = {}

    def hear(self, samples: np.ndarray) -> None:
        self.heard.append(samples)

    def prepare(self, plan: Plan) -> None:
        self.prepared.append(plan)

    def forget(self) -> None:
        self.forgotten += 1

    def answer(self, response: str, plan: Plan, spoken: Spoken, *, aside: bool) -> None:
        self.answers.append((response, plan))
        self.spoken[response] = spoken
        if aside:
            self.aside.append(response)

    def stop(self, response: str) -> None:
        self.stopped.append(response)

    def transcribe(self, item: str, audio: InputAudio, language: str | None) -> None:
        self.transcribed.append(item)
        self.languages.append(language)


class Sides:
    """One session; `events` is what the client got."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.events: list[dict[str, Any]] = []
        self.model = Model()
        self.detector = ScriptedDetector(CHUNK)
        known: dict[str, Any] = {
            "model": "scripted",
            "rate": RATE,
            "can_speak": True,
            "longest_text": 1000,
            "longest_item": 1000,
            "strict": False,
            "overrides": Overrides(),
            "new_detector": lambda: self.detector,
            "find_voice": {"my voice": "voice_1"}.get,
        }
        self.sound_came: list[tuple[float, float]] = []
        """(when, seconds) of every piece of sound that the client got."""
        self.session = Session(SessionOptions(**{**known, **options}), self.model, self.emit)
        self.session.begin()

    def emit(self, event: dict[str, Any]) -> None:
        """The client gets an event."""
        self.events.append(event)
        if event["type"] == "response.output_audio.delta":
            seconds = len(base64.b64decode(event["delta"])) / 2 / RATE
            self.sound_came.append((self.now, seconds))

    def gaps_s(self) -> float:
        """For how long a client that plays sound as it comes was silent within it."""
        gaps, silent_at = 0.0, self.sound_came[0][0]
        for came, seconds in self.sound_came:
            gaps += max(0.0, came - silent_at)
            silent_at = max(silent_at, came) + seconds
        return gaps

    def send(self, kind: str, **fields: Any) -> None:
        """An event of the client."""
        self.take({"type": kind, **fields})

    def take(self, message: Any) -> None:
        """A message of the client, whatever it is."""
        given = read_event(message)
        if isinstance(given, Append):
            for piece in self.session.pieces(given):
                self.session.hear(piece, self.now)
        else:
            self.session.client_event(given, self.now)

    def refused(self, kind: str, **fields: Any) -> ApiError:
        """Why an event of the client is refused."""
        try:
            self.send(kind, **fields)
        except ApiError as error:
            return error
        raise AssertionError(f"{kind} was not refused")

    def configure(self, **session: Any) -> dict[str, Any]:
        self.send("session.update", session={"type": "realtime", **session})
        shown: dict[str, Any] = self.last("session.updated")["session"]
        return shown

    def detect(self, **detection: Any) -> None:
        """Change the turn detection."""
        self.configure(audio={"input": {"turn_detection": {"type": "server_vad", **detection}}})

    def say(self, *parts: tuple[float, float]) -> None:
        """(probability of voice, seconds), as they come."""
        for probability, seconds in parts:
            left = round(seconds * RATE)
            while left:
                count = min(left, round(STEP_S * RATE))
                self.now += count / RATE
                self.session.hear(np.full(count, probability, dtype=np.float32), self.now)
                self.session.tick(self.now)
                left -= count

    def turn(self, seconds: float = 1.0) -> None:
        """A turn of the user, with the silence that ends it."""
        self.say((VOICE, seconds), (QUIET, 0.7))

    def text(self, text: str) -> None:
        """The model makes words of the last answer."""
        self.session.model_event(TextDelta(response=self.response, text=text), self.now)

    def sound(self, seconds: float, response: str | None = None) -> None:
        """The model makes sound of the last answer, or of another one."""
        samples = np.full(round(seconds * RATE), 0.25, dtype=np.float32)
        told = SoundDelta(response=response or self.response, samples=samples)
        self.session.model_event(told, self.now)

    def answered(self, reason: StopReason = "stop", response: str | None = None) -> None:
        """The model is done with the last answer, or another one."""
        name = response or self.response
        told = Answered(response=name, end=_end(reason), audio_positions=3)
        self.session.model_event(told, self.now)

    def wait(self, seconds: float) -> None:
        """Time passes, and whatever is due is done."""
        until = self.now + seconds
        while self.now < until:
            due = self.session.due(self.now)
            self.now = until if due is None else min(until, max(due, self.now))
            self.session.tick(self.now)

    @property
    def response(self) -> str:
        """The last answer that the model was asked for."""
        return self.model.answers[-1][0]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    def last(self, kind: str) -> dict[str, Any]:
        return self.all(kind)[-1]

    @property
    def sent_s(self) -> float:
        """Seconds of sound that the client got."""
        deltas = self.all("response.output_audio.delta")
        return sum(len(base64.b64decode(event["delta"])) for event in deltas) / 2 / RATE

    def retrieve(self, item_id: str) -> dict[str, Any]:
        """An item with its sound."""
        self.send("conversation.item.retrieve", item_id=item_id)
        item: dict[str, Any] = self.last("conversation.item.retrieved")["item"]
        return item


def _end(reason: StopReason) -> TurnEnd:
    return TurnEnd(
        reason=reason,
        text_ids=np.zeros(5, dtype=np.int32),
        codes=np.zeros((5, 4, 8), dtype=np.int64),
        spoken=np.ones(5, dtype=np.bool_),
        stats=TurnStats(
            prompt_positions=10,
            cached_positions=4,
            text_tokens=2,
            patches=3,
            prefill_seconds=0.1,
            backbone_seconds=0.1,
            patch_seconds=0.1,
            audio_seconds=0.48,
        ),
    )


def seconds_of(part: dict[str, Any]) -> float:
    """How long the sound of a part is, at 24 kHz."""
    return len(base64.b64decode(part["audio"])) / 2 / RATE
