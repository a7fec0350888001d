"""`mimo-edge eval`: scores in public benchmarks, and whether one bundle is better than another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ..atomic import atomic_output
from ..errors import BadInputError
from ..evaluation.benchmarks import BENCHMARKS, benchmark
from ..evaluation.comparison import compare
from ..evaluation.fetching import fetch
from ..evaluation.items import Benchmark, Item
from ..evaluation.judge import OWN_JUDGE, command_judge, own_judge
from ..evaluation.picture import draw_scores
from ..evaluation.results import Results, ResultsFile, read_results
from ..evaluation.running import Runner, RunOptions, drawn, head_of, is_base, run
from ..measure.picture import pillow
from ..model import MimoAudio
from ..tasks import Overrides
from .console import Console
from .eval_report import bars_of, print_comparisons, print_scores, record_comparisons, record_scores
from .inputs import check_recordings
from .option_kinds import AUDIO, TEXT, option_group
from .options import ModelOptions, model_options, output_options, sampling_options
from .picture import check_png

__all__ = ["eval_"]


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """What the command line says of a run."""

    data: Path | None
    output: Path | None
    fetch_data: bool
    few_shot: int | None
    limit: int | None
    parallel: int
    choose: bool
    think: bool
    instruction: str | None
    voice: str | None
    judge_asr: str | None
    picture: Path | None

    def run_options(self, of: Benchmark, model: MimoAudio, overrides: Overrides) -> RunOptions:
        """How one benchmark is run with this model."""
        base = is_base(model.manifest)
        shots = self.few_shot
        if shots is None:
            shots = of.default_shots if base else 0
        return RunOptions(
            shots=shots,
            seed=overrides.seed or 0,
            choose=self.choose,
            thinking=self.think,
            base=base,
            instruction=self.instruction,
            voice=self.voice,
            judge=(self.judge_asr or OWN_JUDGE) if of.speaks else None,
            overrides=overrides,
        )


_eval_options = option_group(
    "settings",
    EvalOptions,
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Folder with the data, laid out as published (SpeechMMLU/, MMAU/, librispeech/ …).",
    ),
    click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, file_okay=False),
        help="Folder for the results, a file for each benchmark; a run goes on with what is there.",
    ),
    click.option(
        "--fetch",
        "fetch_data",
        is_flag=True,
        help="First fetch the data into that folder from huggingface.co; else nothing is fetched.",
    ),
    click.option(
        "--few-shot",
        type=click.IntRange(min=0),
        show_default="as the authors: 5 for the base model in SpeechMMLU and MMAU, else none",
        help="Examples in front of each question.",
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), help="Only so many items, drawn by --seed."
    ),
    click.option(
        "--parallel",
        type=click.IntRange(1, 64),
        default=4,
        show_default=True,
        help="Items at once; they share the context (--ctx).",
    ),
    click.option(
        "--choose",
        is_flag=True,
        help="Take the likeliest of the written choices instead of reading a free answer.",
    ),
    click.option("--think", is_flag=True, help="Let the model think aloud first."),
    click.option(
        "--instruction",
        type=TEXT,
        show_default="the public toolkit's words",
        help="What to ask for where recordings are transcribed.",
    ),
    click.option("--voice", type=AUDIO, help="A recording whose voice spoken answers are to have."),
    click.option(
        "--judge-asr",
        metavar="'CMD {file}'",
        help="A program that prints what is said in a file, to write spoken answers down.  "
        "[default: the model itself]",
    ),
    click.option(
        "--picture",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Draw the scores into this .png, too.",
    ),
)


@click.command("eval")
@click.argument("benchmarks", nargs=-1)
@click.option(
    "--compare",
    "compared",
    type=(click.Path(path_type=Path), click.Path(path_type=Path)),
    metavar="A B",
    help="Compare two results (files, or folders of them) on the items of both; runs nothing.",
)
@_eval_options
@model_options
@sampling_options
@output_options
def eval_(
    benchmarks: tuple[str, ...],
    compared: tuple[Path, Path] | None,
    settings: EvalOptions,
    options: ModelOptions,
    overrides: Overrides,
    console: Console,
) -> None:
    """Measure a bundle in BENCHMARKS: speechmmlu-s2s, mmau, librispeech-clean and others.

    Ctrl-C ends a run; the same command goes on with it. A name that is unknown tells all that are.
    """
    if compared is not None:
        _compare(compared, benchmarks, console)
        return
    chosen = [benchmark(name) for name in dict.fromkeys(benchmarks)]
    if not chosen:
        raise BadInputError(f"which benchmarks? Name some of {', '.join(BENCHMARKS)}.")
    if settings.data is None or settings.output is None:
        missing = (
            "--data, the folder with the data"
            if settings.data is None
            else ("-o, the folder for the results")
        )
        raise BadInputError(f"{missing}, is missing; give it.")
    if settings.picture is not None:
        check_png(settings.picture)
        pillow()
    if settings.judge_asr is not None:
        command_judge(settings.judge_asr)  # before a model is loaded for it
    check_recordings([settings.voice])
    if settings.fetch_data:
        with console.busy("fetching the data"):
            fetch([each.name for each in chosen], settings.data)
    # Once without examples: what is wrong with the data is told before a model is loaded.
    for each in chosen:
        each.load(settings.data, settings.few_shot or 0)
    with options.load(console, conversations=settings.parallel) as model:
        results = [_run(each, model, settings, overrides, console) for each in chosen]
    _report(results, settings, console)


def _run(
    of: Benchmark, model: MimoAudio, settings: EvalOptions, overrides: Overrides, console: Console
) -> Results:
    """Run one benchmark, or what is left of it."""
    assert settings.data is not None and settings.output is not None
    how = settings.run_options(of, model, overrides)
    items = of.load(settings.data, how.shots)
    judge = command_judge(settings.judge_asr) if settings.judge_asr else own_judge(model)
    runner = Runner(model, of, how, judge)
    head = head_of(of, items, model.manifest, how)
    wanted = drawn(items, settings.limit, how.seed)
    with ResultsFile(settings.output / f"{of.name}.jsonl", head) as file:
        with console.busy(of.name) as say:

            def progress(done: int, count: int, left: float | None) -> None:
                say(f"{of.name}: {done} of {count}{_time_left(left)}")

            run(runner, wanted, file, parallel=settings.parallel, progress=progress)
        return _only(file.read(), wanted)


def _only(results: Results, items: list[Item]) -> Results:
    """The results of these items: a file may hold those of a larger limit."""
    kept = {item.id: results.lines[item.id] for item in items if item.id in results.lines}
    return Results(results.path, results.head, kept)


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 90:
        return f", {seconds:.0f} s left"
    return f", {seconds / 60:.0f} min left" if seconds < 5400 else f", {seconds / 3600:.1f} h left"


def _report(results: list[Results], settings: EvalOptions, console: Console) -> None:
    record_scores(console, results)
    if not console.as_json:
        print_scores(console, results)
    for each in results:
        for line in each.lines.values():
            if "error" in line:
                console.warn(f"{each.task}, {line['id']}: {line['error']}")
                break
    if settings.picture is not None:
        image = draw_scores(results[0].label, bars_of(results))
        with atomic_output(settings.picture) as file:
            image.save(file, format="PNG")
        console.note(f"the picture is {settings.picture}")


def _compare(paths: tuple[Path, Path], names: tuple[str, ...], console: Console) -> None:
    """Compare what two files, or two folders, have in common."""
    first, second = ({each.task: each for each in _results_in(path)} for path in paths)
    common = [name for name in first if name in second and (not names or name in names)]
    if not common:
        raise BadInputError(
            f"{paths[0]} ({', '.join(first)}) and {paths[1]} ({', '.join(second)}) hold no "
            "results of the same benchmark; measure both in one."
        )
    found = [compare(first[name], second[name], benchmark(name).measure) for name in common]
    labels = first[common[0]].label, second[common[0]].label
    record_comparisons(console, found, labels)
    if not console.as_json:
        print_comparisons(found, labels)


def _results_in(path: Path) -> list[Results]:
    if not path.is_dir():
        return [read_results(path)]
    files = sorted(path.glob("*.jsonl"))
    if not files:
        raise BadInputError(f"{path} holds no results; give a folder that `-o` named.")
    return [read_results(file) for file in files]
