"""What a kind of mutants is made from, and what it makes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypedDict

__all__ = ["Kind", "Mutant", "World", "link_folder", "run_bundle"]

QUICK = ("--threads", "1", "--seed", "1", "--ctx", "256", "--max-new-tokens", "10")


@dataclass(frozen=True, kw_only=True)
class World:
    """Sound inputs; nothing may change them."""

    bundle: Path
    model: Path
    """Checkpoint of the language model."""
    tokenizer: Path
    """Checkpoint of the audio tokenizer."""
    clip: Path
    """A short WAV."""
    voice: Path
    session: Path
    """Saved of two turns with the bundle."""
    codes: Path


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A command over an input that was changed."""

    arguments: tuple[str, ...]
    what: str
    """What was changed."""
    content: bytes
    """The changed input."""
    stdin: bytes = b""
    may_make: tuple[str, ...] = ()
    usage: bool = False
    """Whether the command may refuse its own options (status 2)."""


Kind = Callable[[Random, Path, World], Mutant]
"""Writes the files of a mutant into an empty folder, in which its command will run."""


def link_folder(source: Path, target: Path, *without: str) -> None:
    """A folder of the same files, hard-linked where the file system can, but for some."""
    target.mkdir()
    for path in source.iterdir():
        if path.name not in without:
            try:
                os.link(path, target / path.name)
            except OSError:
                shutil.copyfile(path, target / path.name)


class Run(TypedDict):
    """What a command over a bundle adds to a mutant."""

    arguments: tuple[str, ...]
    may_make: tuple[str, ...]


def run_bundle(rng: Random, world: World, file: str) -> Run:
    """A command that uses a file of the folder `bundle`: its `arguments` and `may_make`."""
    clip, on = str(world.clip), ("--model", "bundle", *QUICK)
    hears = (("transcribe", clip, *on), ("encode", clip, "-o", "x.npz", *on[:4]))
    speaks = (
        ("speak", "Hello.", "-o", "x.wav", *on),
        ("speak", "Hello.", "-o", "x.wav", "--voice", str(world.voice), *on),
        ("chat", "--input", clip, "--output", "answers", *on),
        ("decode", str(world.codes), "-o", "x.wav", *on[:4]),
    )
    reads = (("text", "Hello.", "And then?", *on), ("info", "bundle"), ("info", "bundle", "--json"))
    commands = {
        "audio_encoder": hears,
        "patch_encoder": hears[:1] + speaks[1:3],
        "audio_decoder": speaks,
        "vocoder": speaks,
        "patch_decoder": speaks[:3],
        "code_embeddings": speaks[:3],
        "hidden_downcast": speaks[:3],
        "backbone": reads[:1] + hears[:1] + speaks[:1],
    }.get(file.split(".")[0], hears + speaks + reads)
    return {"arguments": rng.choice(commands), "may_make": ("x.npz", "x.wav", "answers")}
