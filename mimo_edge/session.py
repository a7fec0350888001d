"""A conversation: turns, their KV cache, saving and loading.

Every turn the whole prompt is laid out anew and compared with what the cache holds, so only
what is new goes through the backbone, and the prompt is always exactly the model's format.
"""

from __future__ import annotations

import json
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .atomic import atomic_path
from .audio import AudioInput
from .engine import Answer, Engine, OnText
from .errors import MimoEdgeError
from .events import Event, TurnEnd
from .patches import InterleavedPiece, Positions
from .prompts import Reply, Turn
from .sound import SoundOptions
from .tasks import Overrides, Task, converse

__all__ = ["Session"]

_FORMAT = "mimo_edge session 1"
_RESERVE = 256
"""Positions kept free for an answer, or a quarter of a small context; when a prompt leaves
less, the oldest turn goes."""


class Session:
    """One conversation. Not for several threads at once; close it before its model."""

    def __init__(
        self,
        engine: Engine,
        *,
        reply: Reply = "speech",
        system: str | None = None,
        voice: NDArray[np.int64] | None = None,
        overrides: Overrides | None = None,
    ) -> None:
        self.turns: list[Turn] = []
        """The finished turns that the model still remembers."""
        self._engine = engine
        self._reply = reply
        self._system = system
        self._voice = voice
        self._overrides = overrides
        self._cache = engine.new_cache()

    @property
    def evaluated_positions(self) -> int:
        """Positions that went through the backbone in this session, prompts and answers."""
        return self._cache.evaluated

    def ask(
        self,
        audio: AudioInput | None = None,
        *,
        text: str | None = None,
        reply: Reply | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """Say something, as audio or as text, and wait for the answer.

        `reply` overrides the session's way of answering for this turn.

        Raises:
            MimoEdgeError: the request cannot be read or does not fit the context.
        """
        events = self.stream(audio, text=text, reply=reply)
        speaks = (reply or self._reply) == "speech"
        return self._engine.collect(events, speaks=speaks, on_text=on_text)

    def stream(
        self,
        audio: AudioInput | None = None,
        *,
        text: str | None = None,
        reply: Reply | None = None,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> Iterator[Event]:
        """The same as events. A turn counts once its `TurnEnd` was yielded."""
        return self._stream(self._request(audio, text), reply or self._reply, cancel, sound)

    def add_turn(
        self,
        audio: AudioInput | None = None,
        *,
        text: str | None = None,
        answer: str,
        speech: AudioInput | None = None,
    ) -> None:
        """Put a turn that happened elsewhere into the memory.

        The request is audio or text; the answer is text, or, with `speech`, was spoken.
        """
        request = self._request(audio, text)
        said: str | InterleavedPiece = answer
        if speech is not None:
            said = InterleavedPiece(answer, self._engine.listen(speech))
        self.turns.append(Turn(request=request, answer=said))

    def save(self, path: str | Path) -> None:
        """Write the conversation with its cache to one file (NumPy's .npz, nothing pickled)."""
        arrays: dict[str, Any] = {}
        if self._voice is not None:
            arrays["voice"] = self._voice
        for index, turn in enumerate(self.turns):
            _store(arrays, f"turn{index}.request", turn.request)
            _store(arrays, f"turn{index}.answer", turn.answer)
        positions = self._cache.positions
        _store(arrays, "cache", positions)
        if len(positions):
            arrays["cache.state"] = np.frombuffer(self._cache.save(), dtype=np.uint8)
        head = {
            "format": _FORMAT,
            "bundle": self._engine.manifest.fingerprint(),
            "model": self._engine.manifest.name,
            "reply": self._reply,
            "system": self._system,
            "turns": len(self.turns),
        }
        arrays["head"] = np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)
        target = Path(path)
        with atomic_path(target) as partial, partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, engine: Engine, path: Path, overrides: Overrides | None = None) -> Session:
        """Read what `save` wrote. A cache that does not fit this machine is evaluated again."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            head = json.loads(arrays["head"].tobytes())
            if head["format"] != _FORMAT:
                raise ValueError(f"its format is {head['format']!r}")
            bundle, model = head["bundle"], head["model"]
            reply, system = head["reply"], head["system"]
            turns = [
                Turn(
                    request=_fetch(arrays, f"turn{index}.request"),
                    answer=_fetch(arrays, f"turn{index}.answer"),
                )
                for index in range(head["turns"])
            ]
            state = arrays["cache.state"].tobytes() if "cache.state" in arrays else None
            cached = _fetch(arrays, "cache")
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise MimoEdgeError(
                f"{path} is not a saved session ({error}); give a file that --save-session wrote."
            ) from error
        if bundle != engine.manifest.fingerprint():
            raise MimoEdgeError(
                f"{path} was saved with another bundle ({model}); load it with that one."
            )
        session = cls(
            engine, reply=reply, system=system, voice=arrays.get("voice"), overrides=overrides
        )
        session.turns += turns
        if state is not None:
            session._cache.restore(state, cached)
        return session

    def close(self) -> None:
        """Free the cache."""
        self._cache.close()

    def __enter__(self) -> Session:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _request(self, audio: AudioInput | None, text: str | None) -> NDArray[np.int64] | str:
        if audio is not None and text is None:
            return self._engine.listen(audio)
        if text is not None and audio is None:
            return text
        raise MimoEdgeError("a turn is either audio or text; give one of them.")

    def _stream(
        self,
        request: NDArray[np.int64] | str,
        reply: Reply,
        cancel: threading.Event | None,
        sound: SoundOptions | bool,
    ) -> Iterator[Event]:
        turn = Turn(request=request)
        task = self._fit(turn, reply)
        for event in self._engine.stream(task, self._cache, cancel=cancel, sound=sound):
            if isinstance(event, TurnEnd):
                self.turns.append(replace(turn, answer=self._remember(event, reply)))
            yield event

    def _fit(self, turn: Turn, reply: Reply) -> Task:
        """The task of the next answer; drops the oldest turns while it leaves no room."""
        context = self._engine.backbone.context
        room = context - min(_RESERVE, context // 4)
        while True:
            task = converse(
                [*self.turns, turn],
                reply,
                system=self._system,
                voice=self._voice,
                overrides=self._overrides,
            )
            if not self.turns or len(self._engine.layout.positions(task.pieces)) <= room:
                return task
            del self.turns[0]

    def _remember(self, end: TurnEnd, reply: Reply) -> str | Positions:
        if reply == "speech":
            return Positions(end.text_ids, end.codes)
        return self._engine.text_of(end)[1]


def _store(arrays: dict[str, Any], name: str, value: object) -> None:
    """A part of a turn as arrays whose names tell its type."""
    if isinstance(value, str):
        arrays[f"{name}.text"] = np.frombuffer(value.encode(), dtype=np.uint8)
    elif isinstance(value, Positions):
        arrays[f"{name}.ids"], arrays[f"{name}.codes"] = value.text_ids, value.codes
    elif isinstance(value, InterleavedPiece):
        arrays[f"{name}.text"] = np.frombuffer(value.text.encode(), dtype=np.uint8)
        arrays[f"{name}.patches"] = value.patches
    else:
        arrays[f"{name}.patches"] = value


def _fetch(arrays: dict[str, Any], name: str) -> Any:
    """The inverse of `_store`."""
    text, patches = arrays.get(f"{name}.text"), arrays.get(f"{name}.patches")
    if text is not None:
        string = text.tobytes().decode()
        return string if patches is None else InterleavedPiece(string, patches)
    if patches is not None:
        return patches
    return Positions(arrays[f"{name}.ids"], arrays[f"{name}.codes"])
