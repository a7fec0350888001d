"""Many conversations with one model at once, for as long as wanted; each must answer its question.

    python -m tests.generation.many_conversations --sessions 32 --seconds 300

The demo model, in float32, hears the recorded questions. Every thread has some of the
conversations: it takes a few events from one, then from another, cancels some answers and drops
others, at random. What an answer says must be what the same question and seed get alone.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import click
import psutil

from mimo_edge.generation.events import Event, TextDelta, TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.session import Session
from mimo_edge.tasks import Overrides
from tests.tools.exact_demo import load_exact_demo

__all__ = ["Footprint", "answers_alone", "converse"]

DEMO = Path(__file__).parents[1] / "data" / "demo"
QUESTIONS = ("sum", "difference", "color", "opposite", "count", "name", "repeat")
SEEDS = (1, 2, 3)
THREADS = 4
DROPPED, CANCELLED = 0.05, 0.05
"""Share of the looks at an answer, of which it gets about five."""

Asked = tuple[str, int]
"""Question and seed."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What this process takes of the machine."""

    memory: int
    """Bytes of resident memory."""
    threads: int
    descriptors: int

    @classmethod
    def take(cls) -> Footprint:
        """Now, without what nothing refers to any more."""
        gc.collect()
        process = psutil.Process()
        descriptors = process.num_handles() if sys.platform == "win32" else process.num_fds()
        return cls(
            memory=process.memory_info().rss,
            threads=process.num_threads(),
            descriptors=descriptors,
        )

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.memory / 1e6:.0f} MB, {self.threads} threads, {self.descriptors} descriptors"


def overrides(seed: int) -> Overrides:
    """As in use, with a seed."""
    return Overrides(seed=seed, max_new_tokens=120)


def answers_alone(model: MimoAudio, seeds: Sequence[int] = SEEDS) -> dict[Asked, str]:
    """What every question gets under every seed while nothing else runs."""
    found = {}
    for asked in itertools.product(QUESTIONS, seeds):
        with model.session(overrides=overrides(asked[1])) as session:
            found[asked] = session.ask(DEMO / f"{asked[0]}.flac").text
    return found


@dataclass(kw_only=True)
class Answering:
    """A conversation in the middle of an answer."""

    session: Session
    asked: Asked
    events: Generator[Event, None, None]
    cancel: threading.Event
    text: str = ""

    @classmethod
    def begin(cls, session: Session, asked: Asked, *, sound: bool) -> Answering:
        """Ask; nothing is computed before the first event is taken."""
        cancel = threading.Event()
        events = session.stream(DEMO / f"{asked[0]}.flac", cancel=cancel, sound=sound)
        return cls(session=session, asked=asked, events=events, cancel=cancel)

    def go_on(self, count: int) -> TurnEnd | None:
        """Take a few events; the last of the answer if it was among them."""
        for event in itertools.islice(self.events, count):
            if isinstance(event, TextDelta):
                self.text += event.text
            elif isinstance(event, TurnEnd):
                return event
        return None


@dataclass(kw_only=True)
class Share:
    """The conversations of one thread."""

    model: MimoAudio
    expected: Mapping[Asked, str]
    chance: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    running: list[Answering] = field(default_factory=list)

    def run(self, sessions: int, go_on: Callable[[], bool]) -> None:
        """Hold so many conversations at once until `go_on` says no."""
        try:
            while go_on():
                while len(self.running) < sessions:
                    self.begin()
                self.look_at(self.chance.choice(self.running))
        finally:
            for answering in self.running:
                answering.events.close()
                answering.session.close()
            self.running.clear()

    def begin(self, session: Session | None = None, seed: int | None = None) -> None:
        question, seed = self.chance.choice(QUESTIONS), seed or self.chance.choice(SEEDS)
        session = session or self.model.session(overrides=overrides(seed))
        sound = self.chance.random() < 0.3
        self.running.append(Answering.begin(session, (question, seed), sound=sound))
        self.counts["begun"] += 1

    def look_at(self, one: Answering) -> None:
        fate = self.chance.random()
        if fate < DROPPED:
            self.drop(one)
            return
        if fate < DROPPED + CANCELLED:
            one.cancel.set()
        end = one.go_on(self.chance.randint(1, 4))
        if end is not None:
            self.check(one, end)
            self.running.remove(one)
            one.session.close()

    def drop(self, one: Answering) -> None:
        """Somebody leaves: without a word, or only this question, which then never was."""
        self.counts["dropped"] += 1
        self.running.remove(one)
        if self.chance.random() < 0.5:
            return
        one.events.close()
        if self.chance.random() < 0.5:
            one.session.close()
        else:
            self.begin(one.session, one.asked[1])

    def check(self, one: Answering, end: TurnEnd) -> None:
        self.counts[end.reason] += 1
        text, expected = one.text.strip(), self.expected[one.asked]
        right = expected.startswith(text) if end.reason == "cancelled" else text == expected
        if not right:
            self.wrong.append(f"{one.asked}: {text!r} instead of {expected!r}")


def converse(
    model: MimoAudio,
    expected: Mapping[Asked, str],
    go_on: Callable[[Counter[str]], bool],
    *,
    sessions: int,
    seed: int = 0,
) -> tuple[Counter[str], list[str]]:
    """Hold conversations until `go_on` says no of the counts of a thread.

    Returns:
        How many answers were begun, dropped, cancelled and came to an end, and what was wrong.
    """
    shares = [
        Share(model=model, expected=expected, chance=random.Random(seed * THREADS + thread))
        for thread in range(THREADS)
    ]
    stop = threading.Event()

    def hold(share: Share) -> None:
        try:
            share.run(
                max(1, sessions // THREADS), lambda: not stop.is_set() and go_on(share.counts)
            )
        except BaseException:
            stop.set()  # One thread that fails ends the others.
            raise

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(hold, share) for share in shares]:
            done.result()
    return (
        sum((share.counts for share in shares), Counter()),
        [line for share in shares for line in share.wrong],
    )


def soak(
    model: MimoAudio, expected: Mapping[Asked, str], sessions: int, seconds: float, seed: int
) -> list[str]:
    """Converse for so long and tell how it went; returns what was wrong."""
    before, end = Footprint.take(), time.monotonic() + seconds
    counts, wrong = converse(
        model, expected, lambda _: time.monotonic() < end, sessions=sessions, seed=seed
    )
    click.echo(f"{seconds:.0f} s with {sessions} sessions at once:")
    click.echo(f"  begin: {before}\n  end:   {Footprint.take()}")
    click.echo(f"  answers: {dict(counts)}; wrong: {len(wrong)}")
    for line in wrong:
        click.echo(f"    {line}")
    return wrong


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=32, help="at once")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of what happens")
    arguments = parser.parse_args()
    with load_exact_demo() as model:
        expected = answers_alone(model)
        wrong = [
            line
            for seconds in (arguments.seconds / 10, arguments.seconds)
            for line in soak(model, expected, arguments.sessions, seconds, arguments.seed)
        ]
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
