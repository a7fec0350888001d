"""Kinds of mutants that a person types: texts of every sort, and numbers of options."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

from .mutant import QUICK, Mutant, World

__all__ = ["foreign_option", "foreign_text"]

_PIECES = (
    *("\ufeff", "\u202e", "\u200b", "\x1b[31m", "\r", "\t", "\n", "\x7f", "\x85", "\u2028"),
    *(
        "<|im_end|>",
        "<|sosp|>",
        "<|endoftext|>",
        "é",
        "e\u0301",
        "👩‍👩‍👧",
        "日本語",
        "ﷺ",
        "\U0010ffff",
    ),
    *("a", " ", "hello", "%s", "{}", "[bold]", "[/]", ":heart:", "\\", "$HOME", "`", "'", '"'),
)
_BYTES = (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\x00", b"\x80", b"\xf8\x88\x80\x80\x80")
_ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "shift-jis")


def foreign_text(rng: Random, folder: Path, world: World) -> Mutant:
    """A text as an argument, as a system prompt, as a style, or on standard input."""
    text = _text(rng)
    on = ("--model", str(world.bundle), *QUICK)
    speak, clip = ("speak", "-o", "x.wav"), str(world.clip)
    data = text.encode(rng.choice(_ENCODINGS), "replace")
    if rng.random() < 0.4:
        place = rng.randrange(len(data) + 1)
        data = data[:place] + rng.choice(_BYTES) + data[place:]
    # As the interpreter gives a program the bytes of its arguments.
    argument = os.fsdecode(data.replace(b"\x00", b"")) if rng.random() < 0.5 else text
    commands = (
        ("text", *on),
        (*speak, *on, "-"),
        ("text", *on, "--", argument),
        (*speak, *on, "--", argument),
        (*speak, *on, f"--style={argument}", "Hello."),
        ("text", *on, f"--system={argument}", "Hello."),
        ("ask", *on, "--", clip, argument),
        ("transcribe", *on, f"--instruction={argument}", clip),
        ("text", *on, "--json", "--", argument),
        (*speak, *on, "--style-in-text", "--", argument),
        ("info", "--", argument),
        ("transcribe", *on, "--", argument),
        ("speak", "Hello.", *on, f"--output={argument}"),
    )
    arguments = rng.choice(commands)
    reads = arguments in commands[:2]
    return Mutant(
        arguments=arguments,
        what=f"{arguments[0]} {'stdin' if reads else 'argument'} {data[:80]!r}, {len(data)} bytes",
        content=b"\0".join([*map(_bytes, arguments), data if reads else b""]),
        stdin=data if reads else b"",
        may_make=("x.wav",),
    )


def _bytes(argument: str) -> bytes:
    return argument.encode("utf-8", "surrogatepass")


def _text(rng: Random) -> str:
    how = rng.random()
    if how < 0.1:
        return rng.choice(["", " ", "\n", "\n\n", "\ufeff", "."])
    if how < 0.25:
        return rng.choice(["a", "hello ", "日", "\n", "👩", "a\n"]) * rng.choice(
            [300, 5000, 100_000]
        )
    if how < 0.5:  # every plane, without its surrogates
        points = [rng.randrange(1, 0x110000) for _ in range(rng.choice([1, 5, 40]))]
        return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
    return "".join(rng.choice(_PIECES) for _ in range(rng.choice([1, 3, 12])))


_OPTIONS = (
    *("--threads", "--ctx", "--gpu-layers", "--seed", "--temperature", "--top-p", "--top-k"),
    *("--code-temperature", "--code-top-p", "--code-top-k", "--max-new-tokens", "--device"),
)
_NUMBERS = (
    *("0", "-1", "1", "2", "-0", "0.5", "1e-30", "1e308", "nan", "inf", "-inf", "1e400", ""),
    *("255", "513", "4096", "65536", "2147483648", "4294967296", "18446744073709551616"),
    *("9" * 5000, "x", "٣", "1_0", "0x10", " 1", "cpu", "gpu", "auto"),
)


def foreign_option(rng: Random, folder: Path, world: World) -> Mutant:
    """One to three options with numbers out of the ordinary."""
    pairs = [(rng.choice(_OPTIONS), rng.choice(_NUMBERS)) for _ in range(rng.choice([1, 1, 2, 3]))]
    given = tuple(f"{name}={value}" for name, value in pairs)
    on = ("--model", str(world.bundle), *QUICK)
    command = rng.choice(
        [
            ("text", "Hello.", *on),
            ("speak", "Hello.", "-o", "x.wav", *on),
            ("transcribe", str(world.clip), *on),
        ]
    )
    return Mutant(
        arguments=(*command, *given),
        what=" ".join((command[0], *given))[:200],
        content=repr((command[0], given)).encode(),
        may_make=("x.wav",),
        usage=True,
    )
