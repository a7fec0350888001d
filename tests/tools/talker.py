"""A person who talks with a program through a virtual microphone: `python -m mimo_edge.chat`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mimo_edge.bundle.default_bundle import MODEL_VARIABLE
from tests.tools.exact_demo import exact_demo
from tests.tools.signals import hear_ctrl_c
from tests.tools.sound_server import SoundServer

__all__ = ["Talker", "talking"]

Event = dict[str, Any]


class Talker:
    """The running program and what it said so far, as events with the time they came."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[Event] = []
        self.errors: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()

    def wait_for(self, kind: str, timeout: float = 60, **wanted: Any) -> Event:
        """The first event of this kind with these values that was not waited for before."""

        def find() -> Event | None:
            for event in self.events:
                fits = all(event.get(name) == value for name, value in wanted.items())
                if event["event"] == kind and fits and "seen" not in event:
                    return event
            return None

        with self._changed:
            self._changed.wait_for(lambda: find() is not None or self._ended, timeout)
            event = find()
        assert event is not None, f"no {kind} {wanted} within {timeout} s: {self.story()}"
        event["seen"] = True
        return event

    def of(self, kind: str) -> list[Event]:
        """All events of one kind."""
        return [event for event in self.events if event["event"] == kind]

    def press_ctrl_c(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def press_enter(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> int:
        """Ctrl-C twice; the exit status."""
        self.press_ctrl_c()
        self.wait_for("notice", text="Ctrl-C once more ends the conversation.")
        self.press_ctrl_c()
        return self.process.wait(30)

    def story(self) -> str:
        """What happened, for a message."""
        lines = [json.dumps(event) for event in self.events[-12:]]
        return "\n".join([*lines, *self.errors[-12:]])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.events.append({**json.loads(line), "came": time.monotonic()})
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors += self.process.stderr


@contextlib.contextmanager
def talking(
    server: SoundServer,
    *options: str | Path,
    program: Sequence[str] = ("mimo_edge.chat", "--seed", "1"),
) -> Iterator[Talker]:
    """Start the program on the virtual devices, wait until it listens, end it in any case."""
    process = subprocess.Popen(
        [sys.executable, "-m", *program, "--json", *map(str, options)],
        env={**os.environ, MODEL_VARIABLE: str(exact_demo()), **server.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    talker = Talker(process)
    try:
        talker.wait_for("state", state="listening")
        yield talker
    finally:
        process.kill()
        process.wait()
