"""The command `python -m convert`, also `mimo-edge convert`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mimo_edge.bundle.manifest import GRAPHS, Manifest
from mimo_edge.commands.console import Console, one_line, rich_console
from mimo_edge.commands.info import print_files
from mimo_edge.commands.options import TEXT, output_options
from mimo_edge.measure.check import check_bundle
from mimo_edge.measure.released import CHECKPOINT_BYTES, INTERMEDIATE_BYTES
from mimo_edge.stages.machine.runtime_options import RuntimeOptions

from .backbone.matrix_types import BACKBONE_TYPES
from .bundle import convert_into
from .checkpoints.origin import find_checkpoint, look_up
from .checkpoints.source import open_source
from .graphs.linear import PRECISIONS
from .recipes import (
    RECIPES,
    change_recipe,
    get_recipe,
    part_sizes,
    with_patch_stacks,
    without_speech,
)
from .released import RELEASED_AUDIO, RELEASED_LANGUAGE
from .room import check_room_for_downloads, describe
from .target import claim

__all__ = ["convert_command"]


def _recipe_help() -> str:
    """A table of the recipes with their sizes for the released model, in GB."""
    columns = ("backbone", *GRAPHS)
    lines = ["\b", "Sizes for the released 7B model, in GB:", "\b"]
    lines.append(f"{'recipe':<10}{'all':>6}  " + "".join(f"{name:>15}" for name in columns))
    for recipe in RECIPES:
        sizes = part_sizes(recipe, RELEASED_LANGUAGE, RELEASED_AUDIO)
        stored = recipe.precisions()
        cells = (f"{sizes[name] / 1e9:.2f} {stored[name]}" for name in columns)
        total = sum(sizes.values()) / 1e9
        lines.append(f"{recipe.name:<10}{total:>6.2f}  " + "".join(f"{c:>15}" for c in cells))
    lines += ["\b", *(f"{recipe.name}: {recipe.purpose}" for recipe in RECIPES), "\b"]
    download, copy = CHECKPOINT_BYTES / 1e9, INTERMEDIATE_BYTES / 1e9
    lines.append(f"On top of that: {download:.1f} GB for the download and, while a backbone is")
    lines += [f"quantized, {copy:.1f} GB for a copy of it in bfloat16.", "\b"]
    lines.append(f"Precisions of the backbone: {', '.join(BACKBONE_TYPES)}")
    lines.append("q4_k: 4 bits, the head as well; q3_k: 3 bits where they cost least; the others")
    lines.append("are llama.cpp's. Below 5 bits they are rounded for the speech of --calibrate")
    lines.append(f"Precisions of the graphs: {', '.join(PRECISIONS)} (w8, w4, w4c: weights only)")
    lines.append("w4c, for the patch decoder: 4 bits, rounded for the speech of --calibrate")
    return "\n".join(lines)


class _WithRecipes(click.Command):
    """Adds the table of recipes to the help; computed only when it is shown."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write("\n")
        for line in _recipe_help().splitlines():
            formatter.write("\n" if line == "\b" else f"  {line}\n")


@click.command("convert", cls=_WithRecipes)
@click.option(
    "--model",
    required=True,
    help="Folder or hub id of MiMo-Audio-7B-Base, -Instruct or MiMo-V2.5-ASR.",
)
@click.option("--tokenizer", required=True, help="Folder or hub id of MiMo-Audio-Tokenizer.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option(
    "--recipe",
    "recipe_name",
    type=click.Choice([recipe.name for recipe in RECIPES]),
    default="default",
    show_default=True,
    help="Precision of every part; see below.",
)
@click.option(
    "--precision",
    "changes",
    multiple=True,
    metavar="PART=PRECISION",
    help="Another precision for a part of the recipe, for example backbone=q5_k_m.",
)
@click.option(
    "--without-speech",
    "listens_only",
    is_flag=True,
    help="Leave out what only speaking needs: a smaller bundle that answers in text.",
)
@click.option(
    "--patch-decoder",
    "patch_form",
    type=click.Choice(["onnx", "gguf"]),
    default="onnx",
    show_default=True,
    help="gguf: also for llama.cpp, which runs patch decoder and patch encoder on a GPU.",
)
@click.option(
    "--imatrix",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Importance matrix for the backbone's quantization (llama-imatrix).  "
    "[default: measured along the speech of --calibrate]",
)
@click.option(
    "--calibrate",
    "calibration",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Recordings of speech, a few minutes, for which the backbone and the precision w4c are "
    "rounded best.  [default: synthesized speech that ships]",
)
@click.option("--name", type=TEXT, help="Name of the model in the bundle.  [default: from --model]")
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@click.option(
    "--revision",
    metavar="COMMIT",
    help="Branch, tag or commit of the hub's repositories.  [default: main]",
)
@click.option(
    "--tokenizer-revision",
    metavar="COMMIT",
    help="The same for --tokenizer alone.  [default: --revision]",
)
@click.option("--offline", is_flag=True, help="Take hub files from the cache only.")
@click.option("--threads", default=0, show_default="all cores", help="Processor threads.")
@output_options
def convert_command(
    model: str,
    tokenizer: str,
    out: Path,
    recipe_name: str,
    changes: tuple[str, ...],
    listens_only: bool,
    patch_form: str,
    imatrix: Path | None,
    calibration: Path | None,
    name: str | None,
    force: bool,
    revision: str | None,
    tokenizer_revision: str | None,
    offline: bool,
    threads: int,
    console: Console,
) -> None:
    """Turn a MiMo-Audio checkpoint into a bundle that mimo_edge runs.

    Needs disk for the download, the bundle and, for a quantized backbone, for a bfloat16 copy of
    it; under 4 GB of memory, whatever the model's size.
    """
    if tokenizer_revision is None and not Path(tokenizer).is_dir():
        tokenizer_revision = revision
    recipe = get_recipe(recipe_name)
    if listens_only:
        recipe = without_speech(recipe)
    if patch_form == "gguf":
        recipe = with_patch_stacks(recipe)
    recipe = change_recipe(recipe, changes)
    of_model: Any = {"kind": "model", "revision": revision, "offline": offline}
    of_tokenizer: Any = {"kind": "tokenizer", "revision": tokenizer_revision, "offline": offline}
    RuntimeOptions(threads=threads)  # for its complaint, before all that takes its time
    with claim(out, force=force) as target:
        needs = check_room_for_downloads(
            out, recipe, look_up(model, **of_model), look_up(tokenizer, **of_tokenizer)
        )
        if needs:
            console.note(f"needs {describe(needs)}")
        source = open_source(
            find_checkpoint(model, **of_model),
            find_checkpoint(tokenizer, **of_tokenizer),
            speaks=recipe.speaks,
        )
        if recipe.speaks and source.language.listens_only:
            console.note(f"{source.language_origin.model_name} only listens, and so its bundle.")
        with _Reporter(console) as reporter:
            manifest = convert_into(
                target,
                source,
                recipe,
                name=name or source.language_origin.model_name,
                imatrix=imatrix,
                calibration=calibration,
                threads=threads,
                progress=reporter.progress,
                verify=lambda folder, manifest: reporter.verify(folder, manifest, threads),
            )
    console.record(
        bundle=out, recipe=manifest.recipe, files=[vars(file) for file in manifest.files]
    )
    if not console.as_json:
        print_files(manifest)
        click.echo(one_line(f"{out} is ready: {reporter.verdict}"))


class _Bytes(DownloadColumn):
    """How much of a stage is done, if that is bytes."""

    def render(self, task: Task) -> Text:
        return super().render(task) if _is_bytes(task.description) else Text()


def _is_bytes(stage: str) -> bool:
    """Whether bytes of it are counted; of the others positions, patches or layers are."""
    return stage.startswith(("writing", "quantizing", "hashing"))


class _Reporter:
    """Progress bars on a terminal, one line per stage in a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        terminal = rich_console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description:<26}", markup=False),
            BarColumn(),
            _Bytes(binary_units=False),
            TimeRemainingColumn(),
            console=terminal,
            disable=console.as_json or not terminal.is_terminal,
        )
        self._plain = not terminal.is_terminal
        self._tasks: dict[str, Any] = {}
        self._started: dict[str, float] = {}
        self.verdict = ""

    def __enter__(self) -> _Reporter:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Told the stage, how much of it is done and how much there is."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
            self._started[stage] = time.monotonic()
        self._bars.update(self._tasks[stage], completed=done, total=total)
        if self._plain and done >= total and stage in self._started:
            seconds = time.monotonic() - self._started.pop(stage)
            size = f"{total / 1e6:.1f} MB in " if _is_bytes(stage) else ""
            self._console.note(f"{stage}: {size}{seconds:.1f} s")

    def verify(self, folder: Path, manifest: Manifest, threads: int) -> None:
        """Load the finished bundle and run every part once, before it takes its place."""
        self.progress("verifying", 0, 1)
        self.verdict = check_bundle(folder, manifest, threads=threads)
        self.progress("verifying", 1, 1)
