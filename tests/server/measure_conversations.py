"""How the server carries several live conversations: sound per second, gaps, first sound.

    python -m tests.server.measure_conversations [--model BUNDLE] [--conversations 1,2,4] [--forced]

Every conversation asks in text and is answered in speech, all at the same moment, as hard a case
as there is. Beside the times stands the load of the machine. With random weights an answer would
hardly ever be speech: `--forced` lets it be nothing else.
"""

from __future__ import annotations

import argparse
import base64
import itertools
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import connect

from mimo_edge.generation.answer import RunningAnswer
from mimo_edge.model import MimoAudio
from mimo_edge.server.options import Limits, ServerOptions
from mimo_edge.stages.llama.batch import BackboneOutput
from mimo_edge.tasks import Overrides
from tests.server.running import running

_RATE = 24_000
_QUESTION = "count from one to nine"
_TURNS = 3


@dataclass
class _Turn:
    """One answer; times are of `time.perf_counter`."""

    asked: float
    chunks: list[tuple[float, float]] = field(default_factory=list)
    """(when it came, seconds of sound in it)"""
    done: float = 0.0
    patches: int = 0

    @property
    def first_sound(self) -> float:
        return self.chunks[0][0] - self.asked

    @property
    def worst_gap(self) -> float:
        """Longest time between two chunks."""
        times = [at for at, _ in self.chunks]
        return max((b - a for a, b in itertools.pairwise(times)), default=0.0)

    @property
    def silent(self) -> float:
        """Seconds that a player without a head start would fall silent within the answer."""
        heard, silent = self.chunks[0][0], 0.0
        for at, seconds in self.chunks:
            silent += max(0.0, at - heard)
            heard = max(heard, at) + seconds
        return silent


def _talk(url: str, begin: threading.Barrier, tokens: int) -> list[_Turn]:
    """One conversation of a few turns, all of which begin together with those of the others."""
    turns: list[_Turn] = []
    with connect(f"{url.replace('http', 'ws', 1)}/v1/realtime?model=x", max_size=None) as socket:

        def send(kind: str, **fields: Any) -> None:
            socket.send(json.dumps({"type": kind, **fields}))

        for _ in range(_TURNS):
            content = [{"type": "input_text", "text": _QUESTION}]
            item = {"type": "message", "role": "user", "content": content}
            send("conversation.item.create", item=item)
            begin.wait(600)
            turn = _Turn(asked=time.perf_counter())
            send("response.create", response={"max_output_tokens": tokens})
            while not turn.done:
                event = json.loads(socket.recv(timeout=600))
                now = time.perf_counter()
                if event["type"] == "response.output_audio.delta":
                    seconds = len(base64.b64decode(event["delta"])) / 2 / _RATE
                    turn.chunks.append((now, seconds))
                elif event["type"] == "response.done":
                    turn.done = now
                    usage = event["response"]["usage"]["output_token_details"]
                    turn.patches = usage["audio_tokens"]
                elif event["type"] == "error":
                    raise SystemExit(event["error"]["message"])
            turns.append(turn)
    return turns


def _force(model: MimoAudio) -> None:
    """Let every position be a patch. The text is drawn as ever, since that takes time, too."""
    empty = model.manifest.special_tokens["<|empty|>"]
    take = RunningAnswer.take

    def always(answer: RunningAnswer, output: BackboneOutput) -> bool:
        logits = np.full_like(output.logits, -np.inf)
        logits[empty] = 0
        return take(answer, BackboneOutput(logits=logits, hidden=output.hidden))

    RunningAnswer.take = always  # type: ignore[method-assign,assignment]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--conversations", default="1,2,4")
    parser.add_argument("--tokens", type=int, default=60, help="longest answer, in positions")
    parser.add_argument("--forced", action="store_true")
    options = parser.parse_args()
    counts = [int(count) for count in options.conversations.split(",")]
    limits = Limits(conversations=max(counts))
    served = ServerOptions(port=0, limits=limits, overrides=Overrides(seed=1))

    def load() -> MimoAudio:
        model = MimoAudio.load(options.model)
        if options.forced:
            _force(model)
        return model

    print("conversations  patches/s  first sound  worst gap  silent  load")
    with running(served, load=load) as server:
        for count in counts:
            begin = threading.Barrier(count)
            with ThreadPoolExecutor(count) as pool:
                talks = [
                    pool.submit(_talk, server.url, begin, options.tokens) for _ in range(count)
                ]
                turns = [talk.result()[1:] for talk in talks]  # the first one warms up
            rounds = list(zip(*turns, strict=True))
            spent = sum(max(t.done for t in r) - min(t.asked for t in r) for r in rounds)
            every = [turn for one in turns for turn in one]
            print(
                f"{count:13}  {sum(t.patches for t in every) / spent:9.1f}"
                f"  {max(t.first_sound for t in every):9.2f} s"
                f"  {max(t.worst_gap for t in every):7.2f} s"
                f"  {max(t.silent for t in every):4.2f} s  {os.getloadavg()[0]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
