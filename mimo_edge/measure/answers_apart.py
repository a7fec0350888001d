"""How differently two bundles answer: along the answers of the float32 reference, and in words.

Distances of single stages do not say what a listener notices. Here a whole bundle listens, expects,
speaks and is heard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engine import Engine, run_to_end
from ..generation.events import TurnEnd
from ..model import MimoAudio
from ..prompt import prompts
from ..prompt.positions import Positions
from ..prompt.prompts import Exchange
from ..tasks import Overrides, PreparedTask, Speak, converse, task
from ..trained_tasks import longest_spoken
from .divergence import Distance, Distributions, distance, distributions
from .word_errors import WordErrors, total_errors, word_errors

__all__ = ["Answers", "Apart", "Said", "hear", "listen_to", "take_answers", "transcript"]

_LONGEST_TEXT, _LONGEST_SPEECH = 96, 192
"""Positions of the answers that are compared: 192 are some 20 seconds of speech."""
_TOKENS, _TOKENS_PER_SECOND = 24, 12
"""Of a transcript at most: fast speech has 5 words a second, which are some 8 tokens."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the reference answers to one clip, and what it expects on its way."""

    patches: NDArray[np.int64]
    """What it hears of the clip."""
    transcript: str
    runs: tuple[tuple[Positions, Positions], ...]
    """(prompt, answer) of the transcript and of a spoken answer."""
    files: tuple[Path, ...]
    """The text distributions of each run, on disk: 600 kB a position in the released model."""
    codes: tuple[list[list[NDArray[np.floating]]], ...]
    """Those of the codes."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a bundle makes of one clip."""

    distances: tuple[Distance, ...]
    """From the reference's distributions, along its answers."""
    transcript: WordErrors
    """Of its transcript, against the reference's."""
    text: str
    """What it spoke: the reference's transcript."""
    sound: NDArray[np.float32] | None
    rate: int


@dataclass(frozen=True, kw_only=True)
class Apart:
    """How far a bundle's answers are from the reference's, over all clips."""

    text_divergence: float
    """Kullback-Leibler divergence of the text, in nats per position."""
    code_divergence: float
    """That of the sound, in nats per code."""
    transcripts: float
    """Word error rate of its transcripts, against those of the reference."""
    speech: float
    """Share of the words it spoke that the reference mishears; where a transcript runs on and on,
    as greedy ones sometimes do, all words of that clip, and no more."""
    words: int
    """That were spoken."""

    @classmethod
    def of(cls, said: Sequence[Said], spoken: Sequence[WordErrors]) -> Apart:
        """Over all clips together."""
        runs = [run for each in said for run in each.distances]
        words = sum(each.words for each in spoken)
        return cls(
            text_divergence=sum(run.text for run in runs) / max(1, sum(r.positions for r in runs)),
            code_divergence=sum(run.codes for run in runs) / max(1, sum(run.drawn for run in runs)),
            transcripts=total_errors(each.transcript for each in said).rate,
            speech=sum(min(each.errors, each.words) for each in spoken) / max(1, words),
            words=words,
        )


def take_answers(
    engine: Engine, clips: Sequence[NDArray[np.float32]], folder: Path, tell: Callable[[str], None]
) -> list[Answers]:
    """The answers of the reference; its distributions go into files in `folder`."""
    found = []
    for number, samples in enumerate(clips):
        tell(f"the reference answers, clip {number + 1} of {len(clips)}")
        patches = engine.hearing.listen_samples(samples)
        written = _transcribe(engine, patches)
        spoken = _answer(engine, _dialogue(patches, number))
        runs: list[tuple[Positions, Positions]] = []
        files: list[Path] = []
        codes: list[list[list[NDArray[np.floating]]]] = []
        for prompt, end in (written, spoken):
            # Behind the stop token there is nothing to be expected.
            answer = Positions(end.text_ids, end.codes)
            if not len(answer):
                continue
            expected = distributions(engine, prompt, answer)
            file = folder / f"{number}-{len(runs)}.npy"
            np.save(file, expected.text.astype(np.float32))
            runs.append((prompt, answer))
            files.append(file)
            codes.append(expected.codes)
        found.append(
            Answers(
                patches=patches,
                transcript=engine.text_of(written[1])[1],
                runs=tuple(runs),
                files=tuple(files),
                codes=tuple(codes),
            )
        )
    return found


def listen_to(
    engine: Engine, answers: Sequence[Answers], tell: Callable[[str], None]
) -> list[Said]:
    """What a bundle expects along the reference's answers, writes down, and speaks."""
    said = []
    for number, known in enumerate(answers):
        tell(f"{engine.manifest.recipe} answers, clip {number + 1} of {len(answers)}")
        distances = []
        for (prompt, answer), file, codes in zip(known.runs, known.files, known.codes, strict=True):
            expected = Distributions(text=np.load(file).astype(np.float64), codes=codes)
            distances.append(distance(expected, distributions(engine, prompt, answer)))
        _, end = _transcribe(engine, known.patches)
        text = _beginning(known.transcript, longest_spoken(engine.manifest))
        sound = None
        if text:
            overrides = Overrides(seed=number, max_new_tokens=_LONGEST_SPEECH)
            sound = MimoAudio(engine).run(Speak(text=text, overrides=overrides)).audio
        said.append(
            Said(
                distances=tuple(distances),
                transcript=word_errors(known.transcript, engine.text_of(end)[1]),
                text=text,
                sound=sound,
                rate=engine.manifest.audio.sample_rate,
            )
        )
    return said


def hear(engine: Engine, said: Sequence[Said]) -> list[WordErrors]:
    """Word errors of what a bundle spoke, as this engine hears it."""
    model = MimoAudio(engine)
    heard = []
    for each in said:
        if each.text:
            sound = each.sound
            text = transcript(model, sound, each.rate) if sound is not None else ""
            heard.append(word_errors(each.text, text))
    return heard


def transcript(model: MimoAudio, samples: NDArray[np.float32], rate: int) -> str:
    """What the model hears in a recording, no longer than somebody can say in its time."""
    longest = _TOKENS + round(_TOKENS_PER_SECOND * len(samples) / rate)
    return model.transcribe((samples, rate), overrides=Overrides(max_new_tokens=longest)).text


def _transcribe(engine: Engine, patches: NDArray[np.int64]) -> tuple[Positions, TurnEnd]:
    overrides = Overrides(seed=0, max_new_tokens=_LONGEST_TEXT)
    return _answer(engine, task("transcribe", prompts.transcribe(patches), overrides))


def _dialogue(patches: NDArray[np.int64], seed: int) -> PreparedTask:
    overrides = Overrides(seed=seed, max_new_tokens=_LONGEST_SPEECH)
    return converse([Exchange(request=patches)], "speech", overrides=overrides)


def _answer(engine: Engine, prepared: PreparedTask) -> tuple[Positions, TurnEnd]:
    """(prompt, how the answer ended) of a task."""
    cache = engine.new_cache()
    try:
        prompt = engine.layout.positions(prepared.pieces)
        return prompt, run_to_end(engine.events(prepared, cache))
    finally:
        cache.close()


def _beginning(text: str, longest: int) -> str:
    """As many whole words of a text as fit so many letters."""
    if len(text) <= longest:
        return text
    return text[: longest + 1].rpartition(" ")[0]
