"""A server in a process of its own, whose memory, threads and open files are looked at."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.tools.exact_demo import exact_demo

__all__ = ["Figures", "Measured", "measured"]

QUESTIONS = Path(__file__).parents[1] / "data" / "demo"


@dataclass(frozen=True)
class Figures:
    """What the process has at one time."""

    resident_mb: float
    threads: int
    descriptors: int

    def check_no_more_than(self, before: Figures, *, mb: float) -> None:
        """Fail if something grew: memory by more than `mb`, files by more than a few.

        Threads that work for callers stay, up to 64; each caller may need one more for a moment.
        """
        assert self.threads <= 90, (before, self)
        assert self.descriptors <= before.descriptors + 4, (before, self)
        assert self.resident_mb <= before.resident_mb + mb, (before, self)


class Measured:
    """The running server."""

    def __init__(self, url: str, process: psutil.Process) -> None:
        self.url = url
        self.client = httpx.Client(base_url=url, timeout=120)
        self._process = process

    def figures(self) -> Figures:
        """Once nothing runs any more."""
        self.wait_until_idle()
        process = self._process
        return Figures(
            resident_mb=process.memory_info().rss / 2**20,
            threads=process.num_threads(),
            descriptors=process.num_fds(),
        )

    def number(self, name: str) -> float:
        """A number of `/metrics`."""
        rows = self.client.get("/metrics").text.splitlines()
        (found,) = [row for row in rows if row.startswith(f"mimo_edge_{name} ")]
        return float(found.split()[-1])

    def wait_until_idle(self) -> None:
        """Until no request is worked on or waits, and no conversation is live."""
        names = ("running_requests", "waiting_requests", "conversations")
        for _ in range(600):
            left = {name: self.number(name) for name in names}
            if not any(left.values()) and self.client.get("/health").json() == {"status": "ready"}:
                return
            time.sleep(0.1)
        raise AssertionError(f"something is stuck: {left}")

    def transcribe(self, name: str = "sum") -> str:
        """What it hears in one of the spoken questions."""
        sound = (QUESTIONS / f"{name}.flac").read_bytes()
        answer = self.client.post(
            "/v1/audio/transcriptions", files={"file": sound}, data={"model": "any"}
        )
        answer.raise_for_status()
        return str(answer.json()["text"])


@contextlib.contextmanager
def measured(*options: object) -> Iterator[Measured]:
    """The demo model in float32, served by `mimo-edge serve` until the block ends."""
    arguments = ["serve", "--port", "0", "--json", "--temperature", "0", "--seed", "1"]
    arguments += ["--model", str(exact_demo())]
    with tempfile.TemporaryFile() as log:  # a pipe would be full one day, and the server wait
        process = subprocess.Popen(
            [sys.executable, "-m", "mimo_edge", *arguments, *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            assert process.stdout is not None
            listening = json.loads(process.stdout.readline())
            server = Measured(listening["url"], psutil.Process(process.pid))
            while json.loads(process.stdout.readline())["event"] != "ready":
                pass
            with server.client:
                yield server
            log.seek(0)
            said = log.read().decode()
            # Uvicorn itself tells bytes that are no text so, with a traceback.
            assert said.count("Traceback") == said.count("Invalid UTF-8 sequence"), said
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                process.communicate()
