"""Room on the disks, looked at before the first byte is fetched or written."""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mimo_edge.errors import OutputError

from .backbone.gguf_file import FLOATS
from .backbone.writing import expected_backbone_tensors
from .checkpoints.configs import AudioTokenizerConfig, LanguageModelConfig
from .checkpoints.json_file import read_json
from .checkpoints.origin import Prospect
from .recipes import Recipe, fitting_recipe, part_sizes

__all__ = ["Need", "check_room", "check_room_for_downloads", "conversion_needs", "describe"]


@dataclass(frozen=True, kw_only=True)
class Need:
    """Bytes that will lie in a folder."""

    what: str
    folder: Path
    size: int


def conversion_needs(
    out: Path,
    recipe: Recipe,
    language: LanguageModelConfig,
    audio: AudioTokenizerConfig,
    *,
    backbone_bytes: int,
) -> list[Need]:
    """What a conversion into `out` takes; `backbone_bytes` is the backbone in 16 bits."""
    bundle = sum(part_sizes(recipe, language, audio).values())
    needs = [Need(what="the bundle", folder=out, size=bundle)]
    if recipe.backbone not in FLOATS:
        copy = "a copy of the backbone, which is removed once it is quantized"
        needs.append(Need(what=copy, folder=out, size=backbone_bytes))
    return needs


def _size_in_bfloat16(language: LanguageModelConfig) -> int:
    """Bytes of the backbone in 16 bits."""
    return 2 * sum(math.prod(shape) for shape in expected_backbone_tensors(language).values())


_REMEDY = (
    "make room, choose a smaller recipe, or use another disk: for downloads by HF_HOME, else "
    "by another folder"
)


def check_room(
    needs: Sequence[Need], *, work: str = "the conversion", remedy: str = _REMEDY
) -> None:
    """Raise MimoEdgeError if a disk cannot hold all that will lie on it at the same time.

    `work` is what needs the room and `remedy` what to do, as the sentence says it.
    """
    disks: defaultdict[int, list[Need]] = defaultdict(list)
    for need in needs:
        if need.size:
            disks[_existing(need.folder).stat().st_dev].append(need)
    for group in disks.values():
        free = shutil.disk_usage(_existing(group[0].folder)).free
        needed = sum(need.size for need in group)
        if free < needed:
            raise OutputError(
                f"the disk of {group[0].folder} has {_gigabytes(free)} free and {work} "
                f"needs {_gigabytes(needed)} there ({describe(group)}); {remedy}."
            )


def check_room_for_downloads(
    out: Path, recipe: Recipe, model: Prospect | None, tokenizer: Prospect | None
) -> list[Need]:
    """Look at the room for the downloads and the conversion together; what they need.

    Nothing is looked at where nothing is to be downloaded.

    Raises:
        MimoEdgeError: a disk is too small, or the configurations are not MiMo-Audio's.
    """
    downloads = [
        Need(what=f"the download of {name}", folder=prospect.cache, size=prospect.missing)
        for name, prospect in (("the model", model), ("the audio tokenizer", tokenizer))
        if prospect is not None and prospect.missing
    ]
    needs = list(downloads)
    if downloads and model is not None and tokenizer is not None:
        language = LanguageModelConfig.parse(read_json(model.config), model.config)
        audio = AudioTokenizerConfig.parse(read_json(tokenizer.config), tokenizer.config)
        size = _size_in_bfloat16(language)
        recipe = fitting_recipe(recipe, language)
        needs += conversion_needs(out, recipe, language, audio, backbone_bytes=size)
    check_room(needs)
    return needs


def describe(needs: Sequence[Need]) -> str:
    """The needs in one line, for a person: how much for what."""
    return ", ".join(f"{_gigabytes(need.size)} for {need.what}" for need in needs)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 5e7 else f"{size / 1e6:.1f} MB"


def _existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
