"""The kind of mutants that are recordings, of whatever a decoder may meet."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from .damage import damage, overwrite
from .mutant import QUICK, Mutant, World

__all__ = ["foreign_recording"]

_FORMATS = (
    *(("WAV", "PCM_16", ".wav"), ("WAV", "FLOAT", ".wav"), ("WAV", "PCM_U8", ".wav")),
    *(("FLAC", "PCM_16", ".flac"), ("OGG", "VORBIS", ".ogg"), ("OGG", "OPUS", ".opus")),
    *(("MP3", "MPEG_LAYER_III", ".mp3"), ("AIFF", "PCM_16", ".aiff"), ("AU", "PCM_16", ".au")),
    *(("W64", "PCM_16", ".w64"), ("RF64", "PCM_16", ".rf64"), ("CAF", "ALAC_16", ".caf")),
    *(("WAVEX", "PCM_24", ".wav"), ("NIST", "PCM_16", ".sph"), ("WAV", "IMA_ADPCM", ".wav")),
)
_NAMES = ("", ".wav", ".raw", ".mp3", ".flac", ".WAV", ".txt", ".ogg", ".m4a")
_HEAD = 64
_RATES = (0, 1, 999, 1000, 768_001, 2**31 - 1, 2**31, 2**32 - 1)
_FLAC_INFO = 18
"""Bytes to the rate, channels and total of samples of a FLAC's STREAMINFO."""


@functools.lru_cache(maxsize=64)
def _encoded(clip: Path, kind: tuple[str, str, str]) -> bytes:
    samples, rate = soundfile.read(clip, dtype="float32")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind[0], subtype=kind[1])
    return file.getvalue()


def foreign_recording(rng: Random, folder: Path, world: World) -> Mutant:
    """Headers, claims, cuts, joins, flips, odd sounds and odd names, for every command."""
    kind = rng.choice(_FORMATS)
    data = _encoded(world.clip, kind)
    how = rng.random()
    if how < 0.3:
        content, what = damage(rng, data, head=_HEAD)
    elif how < 0.55:
        content, what = damage(rng, data)
    elif how < 0.7:
        content, what = _claims(rng, kind, data)
    elif how < 0.82:
        content, what = _join(rng, data, world)
    else:
        content, what = _odd_sound(rng)
    name = f"in{kind[2] if rng.random() < 0.7 else rng.choice(_NAMES)}"
    (folder / name).write_bytes(content)
    arguments, stdin = _command(rng, name, content, world)
    return Mutant(
        arguments=arguments,
        what=f"{kind[0]} {kind[1]} {name}: {what}",
        content=content,
        stdin=stdin,
        may_make=("x.npz", "x.png", "x.wav", "answers"),
    )


def _command(rng: Random, name: str, content: bytes, world: World) -> tuple[tuple[str, ...], bytes]:
    on = ("--model", str(world.bundle), *QUICK)
    clip = str(world.clip)
    commands = (
        ("encode", name, "-o", "x.npz", *on[:4]),
        ("transcribe", name, *on),
        ("transcribe", "-", *on),
        ("picture", clip, name, "-o", "x.png"),
        ("ask", name, "Who?", *on),
        ("speak", "Hello.", "--voice", name, "-o", "x.wav", *on),
        ("chat", "--input", name, "--output", "answers", *on),
        (
            "few-shot",
            clip,
            "--instruction",
            "Say.",
            "--example",
            name,
            clip,
            "a",
            "-o",
            "x.wav",
            *on,
        ),
        ("continue", name, "-o", "x.wav", *on),
    )
    arguments = rng.choice(commands)
    return arguments, content if "-" in arguments else b""


def _claims(rng: Random, kind: tuple[str, str, str], data: bytes) -> tuple[bytes, str]:
    """Another rate, number of channels or length than the sound has."""
    value = rng.choice(_RATES)
    if kind[0] == "FLAC":
        total = rng.choice([0, 1, 2**35, 2**36 - 1])
        place = _FLAC_INFO + 3
        new = ((data[place] & 0xF0) << 32 | total).to_bytes(5, "big")
        return overwrite(data, place, new), f"{total} samples"
    if kind[0] in ("WAV", "WAVEX", "RF64"):
        field = rng.choice([4, 16, 20, 22, 24, 24, 28, 32, 34, 40])
        width = 2 if field in (20, 22, 32, 34) else 4
        new = (value % 256**width).to_bytes(width, "little")
        return overwrite(data, field, new), f"header {field} = {new.hex()}"
    place = rng.randrange(min(_HEAD, len(data) - 8))
    new = value.to_bytes(4, rng.choice(["little", "big"]))
    return overwrite(data, place, new), f"{value} at {place}"


def _join(rng: Random, data: bytes, world: World) -> tuple[bytes, str]:
    """Two files one behind the other, or garbage at an end."""
    kind = rng.choice(_FORMATS)
    other = rng.choice([data, _encoded(world.clip, kind), rng.randbytes(3000), b"ID3" + bytes(200)])
    joined = data + other if rng.random() < 0.6 else other + data
    return joined, f"joined with {len(other)} bytes"


def _odd_sound(rng: Random) -> tuple[bytes, str]:
    """Well-formed, but no ordinary speech."""
    rate = rng.choice([1, 50, 999, 1000, 8000, 24_000, 44_100, 192_000, 700_000])
    channels = rng.choice([1, 1, 2, 2, 3, 8, 64])
    length = rng.choice([0, 1, 2, 100, 479, 481, rate // 20, rate // 2])
    noise = np.random.default_rng(rng.randrange(2**32)).standard_normal((length, channels))
    kinds = {
        "silence": noise * 0,
        "noise": noise * 0.1,
        "NaN": np.where(noise > 2, np.nan, noise),
        "infinite": noise * np.inf,
        "loud": noise * 1e30,
        "opposite": noise[:, :1] * np.resize([0.1, -0.1], channels),
        "a constant": np.ones_like(noise),
    }
    with np.errstate(all="ignore"):
        what = rng.choice(list(kinds))
        samples = kinds[what].astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue(), f"{what}, {length} samples, {channels} channels at {rate} Hz"
