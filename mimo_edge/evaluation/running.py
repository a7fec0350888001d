"""All items of a benchmark, several at a time, each written down as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import Manifest
from ..errors import BadInputError, DoesNotFitError
from ..model import MimoAudio
from ..tasks import Overrides, PreparedTask
from .items import Asking, Benchmark, Item, Sound, Verdict
from .judge import Recognizer
from .results import ResultsFile
from .tables import StoredSound

__all__ = ["Progress", "RunOptions", "Runner", "drawn", "head_of", "is_base", "run"]

Progress = Callable[[int, int, float | None], None]
"""(items done, all items, seconds that are left: None while nothing is known)."""

_KEPT_RECORDINGS = 256
"""Of which the codes are remembered: examples come back with other questions."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a benchmark is run; results of other options do not belong into one file."""

    shots: int = 0
    """Examples in front of each question."""
    seed: int = 0
    choose: bool = False
    """Take the likeliest of the given choices instead of reading a free answer."""
    thinking: bool = False
    base: bool = False
    """Ask in the format of the base model."""
    instruction: str | None = None
    voice: str | None = None
    """File with the voice that spoken answers are to have."""
    judge: str | None = None
    """Who writes spoken answers down; None where there are none."""
    overrides: Overrides = field(default_factory=Overrides)


def is_base(manifest: Manifest) -> bool:
    """Whether the bundle is of the base model, which is asked by examples."""
    return manifest.name.casefold() == "mimo-audio-7b-base"


def drawn(items: Sequence[Item], limit: int | None, seed: int) -> list[Item]:
    """At most `limit` of the items, always the same ones for a seed.

    A larger limit adds to those of a smaller one, so that a run can be extended.
    """
    if limit is None:
        return list(items)
    shuffled = list(items)
    random.Random(seed).shuffle(shuffled)
    return shuffled[:limit]


def head_of(
    benchmark: Benchmark, items: Sequence[Item], manifest: Manifest, options: RunOptions
) -> dict[str, Any]:
    """What the first line of the results says: `items` are all of the benchmark, not only those
    that were drawn."""
    told = [[item.id, item.question.text, list(item.choices), item.answer] for item in items]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    values = asdict(options)
    overrides = {
        name: value for name, value in values.pop("overrides").items() if value is not None
    }
    return {
        "task": benchmark.name,
        "data": {"items": len(items), "hash": digest[:16]},
        "bundle": {
            "name": manifest.name,
            "recipe": manifest.recipe,
            "fingerprint": manifest.fingerprint()[:16],
        },
        "options": {**values, **overrides},
    }


class Runner:
    """Asks one model the items of one benchmark. For several threads at once."""

    def __init__(
        self,
        model: MimoAudio,
        benchmark: Benchmark,
        options: RunOptions,
        recognizer: Recognizer,
    ) -> None:
        """`recognizer` writes spoken answers down.

        Raises:
            MimoEdgeError: the bundle cannot speak, or what is wanted does not go together.
        """
        if benchmark.speaks:
            model.manifest.check_speaks()
        if options.choose and (benchmark.speaks or benchmark.candidates is None):
            raise BadInputError(
                f"{benchmark.name} has no written choices to be compared; run it without choosing."
            )
        if options.thinking and (options.choose or not benchmark.can_think):
            raise BadInputError(
                f"{benchmark.name} is not asked with thinking"
                f"{' where choices are compared' if options.choose else ''}; leave that out."
            )
        self._model = model
        self._benchmark = benchmark
        self._options = options
        self._recognizer = recognizer
        self._listen = lru_cache(maxsize=_KEPT_RECORDINGS)(self._hear)

    def line(self, item: Item, cancel: threading.Event) -> dict[str, Any] | None:
        """Ask an item: its line of the results, or None if `cancel` ended it."""
        start = time.monotonic()
        line: dict[str, Any] = {"id": item.id, "subject": item.subject, "answer": item.answer}
        try:
            values = self._choose(item) if self._options.choose else self._answer(item, cancel)
        except (BadInputError, DoesNotFitError) as error:
            # One recording that cannot be used must not end a run of hours.
            return {**line, "correct": False, "error": str(error)}
        if values is None:
            return None
        return {**line, **values, "seconds": round(time.monotonic() - start, 3)}

    def _answer(self, item: Item, cancel: threading.Event) -> dict[str, Any] | None:
        answer = self._model.run(self._benchmark.ask(item, self._asking(item)), cancel=cancel)
        if answer.reason == "cancelled":
            return None
        told: dict[str, Any] = {"text": answer.text}
        judged = answer.text
        if self._benchmark.speaks:
            sound = answer.audio
            judged = self._recognizer(sound, answer.sample_rate) if sound is not None else ""
            told["heard"] = judged
        return {**self._benchmark.record(self._benchmark.judge(item, judged)), **told}

    def _choose(self, item: Item) -> dict[str, Any]:
        """The choice whose words are likeliest, each word by itself: long ones lose nothing."""
        assert self._benchmark.candidates is not None
        candidates = self._benchmark.candidates(item)
        task = self._benchmark.ask(item, self._asking(item))
        assert isinstance(task, PreparedTask)
        likely = self._model.log_probabilities(task, [text for text, _ in candidates])
        means = [float(logs.mean()) for logs in likely]
        chosen = candidates[int(np.argmax(means))][1]
        verdict = Verdict(correct=chosen == item.answer, chosen=chosen)
        logs = {text: round(mean, 4) for (text, _), mean in zip(candidates, means, strict=True)}
        return {**self._benchmark.record(verdict), "log_probabilities": logs}

    def _asking(self, item: Item) -> Asking:
        # A seed for each item: what is drawn does not depend on what was asked before or beside it.
        seed = random.Random(f"{self._options.seed} {item.id}").getrandbits(31)
        return Asking(
            manifest=self._model.manifest,
            base=self._options.base,
            thinking=self._options.thinking,
            instruction=self._options.instruction,
            overrides=replace(self._options.overrides, seed=seed),
            listen=self._listen,
            voice=Path(self._options.voice) if self._options.voice else None,
        )

    def _hear(self, sound: Sound) -> NDArray[np.int64]:
        source = sound.read() if isinstance(sound, StoredSound) else str(sound)
        return self._model.listen(source)


def run(
    runner: Runner,
    items: Sequence[Item],
    results: ResultsFile,
    *,
    parallel: int,
    progress: Progress,
) -> None:
    """Do all items that the file does not hold yet, `parallel` of them at a time.

    Whatever ends it (Ctrl-C, a full disk), the items that are done are in the file.

    Raises:
        MimoEdgeError: the model cannot go on, or the file cannot be written.
    """
    before = results.before.done()
    left = [item for item in items if item.id not in before]
    done, start = len(items) - len(left), time.monotonic()
    progress(done, len(items), None)
    cancel = threading.Event()
    with ThreadPoolExecutor(parallel, thread_name_prefix="mimo_edge eval") as pool:
        futures = [pool.submit(runner.line, item, cancel) for item in left]
        try:
            for count, future in enumerate(as_completed(futures), start=1):
                line: Mapping[str, Any] | None = future.result()
                if line is not None:
                    results.add(line)
                each = (time.monotonic() - start) / count
                progress(done + count, len(items), each * (len(left) - count))
        except BaseException:
            _stop(futures, cancel)
            raise


def _stop(futures: Sequence[Future[Any]], cancel: threading.Event) -> None:
    """End what runs within one step, and begin nothing more."""
    cancel.set()
    for future in futures:
        future.cancel()
