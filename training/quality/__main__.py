"""What quantization costs: `python -m training.quality EXPORT REPORT`.

Converts the demo checkpoint with every recipe and lets each bundle take the same exam: sentences
that it transcribes and speaks, and questions that it answers. Against `reference` are counted the
words that it hears wrong, the answers that are right, the words of its speech that `reference`
mishears, equal codes per codebook, and the mean Kullback-Leibler divergence of the text and the
code distributions along the reference's own answers; and how many spoken sentences come out the
same, to the last code, with words guessed and without. Prints the table as Markdown.

It can be stopped at any time: what is in REPORT is not measured again, unless the bundle is
another one now. What it asks is kept beside it (`REPORT` with the ending `.npz`). Needs flite for
the questions, and no PyTorch.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from convert.bundle import convert
from convert.checkpoints.source import Source, open_source
from convert.recipes import RECIPES, Recipe, get_recipe
from mimo_edge.bundle.files import load_manifest
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from training import domain

from .candidates import Candidate, KvType
from .exam import kept_exam
from .measuring import measuring
from .report import Row, Settings, read_report, write_report
from .table import markdown

log = logging.getLogger(__name__)

KV_TYPES: tuple[KvType, ...] = ("f16", "q8_0")
"""Number types of the cache that `default` is measured with; one of them is the program's own."""


def candidates(
    recipes: list[Recipe], folder: Path, source: Source
) -> Iterator[tuple[str, Candidate]]:
    """(label, candidate) of every row; a bundle is made when it is asked for."""
    own = RuntimeOptions().kv_type
    for recipe in recipes:
        bundle = folder / recipe.name
        convert(source, bundle, recipe, name="MiMo-Audio-Demo")
        yield f"`{recipe.name}`", Candidate(bundle=bundle)
        if recipe.name == "default":
            for kv_type in KV_TYPES:
                if kv_type != own:
                    yield f"… cache in {kv_type}", Candidate(bundle=bundle, kv_type=kv_type)


def measure(
    source: Source, recipes: list[Recipe], report: Path, settings: Settings, processes: int
) -> list[Row]:
    """A row for each candidate, from the report or measured now; `reference` is the first."""
    report.parent.mkdir(parents=True, exist_ok=True)
    exam = report.with_suffix(".npz")
    kept_exam(exam, settings.sentences, settings.questions, settings.seed)
    known = {(row.label, row.fingerprint, row.settings): row for row in read_report(report)}
    rows: list[Row] = []
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        processes_of = None
        for label, candidate in candidates(recipes, folder, source):
            manifest = load_manifest(candidate.bundle)
            if processes_of is None:
                processes_of = opened.enter_context(
                    measuring(exam, candidate, settings.answers, processes)
                )
            row = known.get((label, manifest.fingerprint(), settings))
            if row is None:
                began = time.monotonic()
                row = Row(
                    label=label,
                    fingerprint=manifest.fingerprint(),
                    settings=settings,
                    megabytes=round(sum(file.size for file in manifest.files) / 1e6, 2),
                    results=processes_of.results(candidate),
                )
                log.info("%s took %.0f s", label, time.monotonic() - began)
            rows.append(row)
            write_report(report, rows)
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path, help="folder that training.export wrote")
    parser.add_argument("report", type=Path, help="JSON to write, or to go on with")
    parser.add_argument("--sentences", type=int, default=600)
    parser.add_argument("--questions", type=int, default=len(domain.FACTS))
    parser.add_argument("--answers", type=int, default=48, help="compare along so many answers")
    parser.add_argument("--recipe", action="append", help="only this one (more than once: these)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=23)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    model = arguments.export / "MiMo-Audio-Demo"
    chosen = [get_recipe(name) for name in arguments.recipe or ()] or list(RECIPES)
    others = [recipe for recipe in chosen if recipe.name != "reference"]
    rows = measure(
        open_source(model, model.with_name(model.name + "-Tokenizer")),
        [get_recipe("reference"), *others],
        arguments.report,
        Settings(
            sentences=arguments.sentences,
            questions=arguments.questions,
            answers=arguments.answers,
            seed=arguments.seed,
        ),
        arguments.processes,
    )
    sys.stdout.write(markdown(rows))


if __name__ == "__main__":
    main()
