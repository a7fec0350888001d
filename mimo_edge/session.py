"""A conversation: turns, their KV cache, saving and loading.

Every turn the whole prompt is laid out anew and compared with what the cache holds, so only
what is new goes through the backbone, and the prompt is always exactly the model's format.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .answer import Answer, OnText
from .audio import AudioInput
from .engine import Engine, run_to_end
from .errors import WrongUseError
from .generation.events import Event, TurnEnd
from .generation.sound import SoundOptions
from .history import History, Prepared, turn_of
from .prompt.positions import InterleavedPiece, Positions
from .prompt.prompts import Exchange, Reply
from .session_file import SavedSession
from .tasks import Overrides, Turn

__all__ = ["Prepared", "Session"]

Patches = NDArray[np.int64]


class Session:
    """One conversation; it ends with its model. For one thread, and one answer after the other."""

    def __init__(
        self,
        engine: Engine,
        *,
        reply: Reply = "speech",
        system: str | None = None,
        voice: NDArray[np.int64] | None = None,
        overrides: Overrides | None = None,
    ) -> None:
        if reply == "speech":
            engine.manifest.check_speaks()
        self._engine = engine
        self._history = History(
            engine=engine, turns=[], reply=reply, system=system, voice=voice, overrides=overrides
        )
        self._cache = engine.new_cache()
        self._in_use = threading.Lock()

    @property
    def turns(self) -> list[Exchange]:
        """The finished turns that the model still remembers; whoever deletes some forgets them."""
        return self._history.turns

    @turns.setter
    def turns(self, turns: list[Exchange]) -> None:
        self._history.turns = turns

    @property
    def reply(self) -> Reply:
        """How it answers where nothing else is asked for."""
        return self._history.reply

    @property
    def positions(self) -> Positions:
        """What the model remembers of the conversation, position by position."""
        return self._cache.positions

    @property
    def evaluated_positions(self) -> int:
        """Positions that went through the backbone in this session, prompts and answers."""
        return self._cache.evaluated

    def ask(
        self,
        audio: AudioInput | Patches | Turn | Prepared | None = None,
        *,
        text: str | None = None,
        reply: Reply | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """Say something, as audio or as text, and wait for the answer.

        `reply` overrides the session's way of answering for this turn. Whatever is raised
        meanwhile, Ctrl-C and errors of `on_text` included: the turn was not, then.

        Raises:
            MimoEdgeError: the request cannot be read or does not fit the context.
        """
        with self._alone():
            prepared = self._next_turn(audio, text, reply)
            end = run_to_end(self._engine.events(prepared.task, self._cache), on_text)
            answer = self._engine.answer(end, speaks=prepared.reply == "speech")
            self._history.remember(prepared, end)
        return answer

    def stream(
        self,
        audio: AudioInput | Patches | Turn | Prepared | None = None,
        *,
        text: str | None = None,
        reply: Reply | None = None,
        cancel: threading.Event | None = None,
        sound: SoundOptions | bool = False,
    ) -> Generator[Event, None, None]:
        """Say something; the answer comes as events. A turn counts once its `TurnEnd` was yielded.

        Until then the session does nothing else; close the generator to end the answer early.

        `audio` may be a `Turn`, which says all of it; patches that a `Listener` gave, int64
        [patches, group, channels]; or a prepared turn, which then begins to answer at once.
        `cancel` is looked at between the pieces of the prompt and between positions; what was
        generated until then is the turn's answer, `keep_heard` leaves what was heard of it.

        Raises:
            MimoEdgeError: the request cannot be read, does not fit the context, or was
                prepared before another turn.
        """
        with self._alone():
            prepared = self._next_turn(audio, text, reply)
        return self._stream(prepared, cancel, sound)

    def prepare(
        self,
        audio: AudioInput | Patches | Turn | None = None,
        *,
        text: str | None = None,
        reply: Reply | None = None,
        cancel: threading.Event | None = None,
    ) -> Prepared | None:
        """Evaluate the prompt of a turn up to its answer, without generating.

        For a pause that may be the end of what somebody says: if it is, `stream` goes on from
        here at once; if not, just prepare again with all of the recording. What both have in
        common stays in the cache, and the conversation is as it was.

        Returns:
            What `stream` takes, until another turn is added; None if `cancel` was set before
            the end. It is looked at between the pieces of the prompt.

        Raises:
            MimoEdgeError: the request cannot be read or does not fit the context.
        """
        with self._alone():
            prepared = self._history.next_turn(turn_of(audio, text, reply))
            before = self._cache.evaluated
            prompt = self._engine.layout.positions(prepared.task.pieces)
            if not self._engine.scheduler.evaluate(self._cache, prompt, cancel):
                return None
            return replace(prepared, evaluated=self._cache.evaluated - before)

    def warm(self, cancel: threading.Event | None = None) -> int:
        """Evaluate system prompt, voice and finished turns before the next request is known.

        Returns:
            Positions that went through the backbone for it: 0 if they were in the cache.
        """
        with self._alone():
            before = self._cache.evaluated
            prompt = self._history.before_request()
            self._engine.scheduler.evaluate(self._cache, prompt, cancel)
            return self._cache.evaluated - before

    def keep_heard(self, played_samples: int) -> str:
        """Leave only what was heard of the last answer, after it was interrupted.

        Patches that were played whole stay, with the text positions before them; the rest goes
        from the turn and from the cache. A written answer stays as it is.

        Args:
            played_samples: how many samples of the answer reached the speaker, at the bundle's
                rate, counted from its first one.

        Returns:
            The text that was said until then, an estimate; see `heard.heard_part`.

        Raises:
            MimoEdgeError: there is no turn yet, or fewer than 0 samples.
        """
        with self._alone():
            text, is_cut = self._history.keep_heard(played_samples)
            if is_cut:
                self._cache.keep_common(self._history.opening())
            return text

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
        with self._alone():
            request = turn_of(audio, text, None).request(self._engine.hearing)
            said: str | InterleavedPiece = answer
            if speech is not None:
                said = InterleavedPiece(answer, self._engine.hearing.listen(speech))
            self.turns.append(Exchange(request=request, answer=said))

    def save(self, path: str | Path) -> None:
        """Write the conversation with its cache to one file (NumPy's .npz, nothing pickled)."""
        with self._alone():
            cached, state = self._cache.save()
            saved = SavedSession(
                reply=self._history.reply,
                system=self._history.system,
                voice=self._history.voice,
                turns=list(self.turns),
                cached=cached,
                state=state,
            )
        saved.write(Path(path), self._engine.manifest)

    @classmethod
    def load(
        cls,
        engine: Engine,
        path: Path,
        overrides: Overrides | None = None,
        reply: Reply | None = None,
    ) -> Session:
        """Read what `save` wrote. A cache that does not fit this machine is evaluated again.

        `reply` is how to answer from now on, if not as before.

        Raises:
            MimoEdgeError: the file is no saved session, or one of another bundle.
        """
        saved = SavedSession.read(path, engine.manifest)
        session = cls(
            engine,
            reply=reply or saved.reply,
            system=saved.system,
            voice=saved.voice,
            overrides=overrides,
        )
        session.turns += saved.turns
        if saved.state is not None:
            session._cache.restore(saved.state, saved.cached)
        return session

    def close(self) -> None:
        """Free the cache; an answer that is under way fails at its next position."""
        self._cache.close()

    def __enter__(self) -> Session:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Meanwhile nobody else uses the session.

        Raises:
            MimoEdgeError: somebody else does, or it is closed.
        """
        self._cache.check_open()
        if self._in_use.locked():
            raise WrongUseError(
                "the session is busy with another answer; take that to its end or close it "
                "first, and give each thread a session of its own."
            )
        # Not `acquire(blocking=False)`: Ctrl-C could come between that and its `try`.
        with self._in_use:
            yield

    def _next_turn(
        self,
        audio: AudioInput | Patches | Turn | Prepared | None,
        text: str | None,
        reply: Reply | None,
    ) -> Prepared:
        if not isinstance(audio, Prepared):
            return self._history.next_turn(turn_of(audio, text, reply))
        if text is not None or reply not in (None, audio.reply):
            raise WrongUseError("a prepared turn has its request and its reply; give it alone.")
        self._history.check(audio)
        return audio

    def _stream(
        self, prepared: Prepared, cancel: threading.Event | None, sound: SoundOptions | bool
    ) -> Generator[Event, None, None]:
        with self._alone():
            self._history.check(prepared)
            events = self._engine.events(prepared.task, self._cache, cancel=cancel, sound=sound)
            with contextlib.closing(events):
                for event in events:
                    if isinstance(event, TurnEnd):
                        self._history.remember(prepared, event)
                    yield event
