"""The sound inputs that mutants are made from."""

from __future__ import annotations

from pathlib import Path

from .forks import Forks
from .mutant import QUICK, World

__all__ = ["make_world"]


def make_world(bundle: Path, golden: Path, folder: Path) -> World:
    """Inputs of a bundle and the golden folder; a session and codes are made in `folder`."""
    clip, voice = golden / "audio" / "tiny.wav", golden / "audio" / "short.wav"
    session, codes = folder / "session.npz", folder / "codes.npz"
    on = ("--model", str(bundle), *QUICK)
    turns = ("--input", str(clip), "--input", str(clip), "--voice", str(voice), "--system", "Hi.")
    with Forks() as forks:
        for arguments in (
            ("chat", *turns, "--save-session", str(session), *on),
            ("encode", str(clip), "-o", str(codes), *on[:4]),
        ):
            outcome = forks.run(arguments, folder)
            assert outcome.status == 0, outcome.describe()
    return World(
        bundle=bundle,
        model=golden / "checkpoint" / "MiMo-Audio-7B-Instruct",
        tokenizer=golden / "checkpoint" / "MiMo-Audio-Tokenizer",
        clip=clip,
        voice=voice,
        session=session,
        codes=codes,
    )
