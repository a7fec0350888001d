"""Saved conversations go on as if they had never been closed; other files are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from mimo_edge.errors import MimoEdgeError
from mimo_edge.model import MimoAudio
from mimo_edge.session import Session
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.tasks import Overrides
from tests.tools.command_line import QUICK, Command

from .test_sessions import OPTIONS, end_of, same_sampling, spoken, text_ids


@pytest.fixture
def saved(reference_model: MimoAudio, clips: dict[str, Path], tmp_path: Path) -> Path:
    """A file with two spoken turns."""
    path = tmp_path / "session.npz"
    with spoken(reference_model, clips["voice"]) as session:
        end_of(session.stream(clips["question"]))
        end_of(session.stream(clips["short"]))
        session.save(path)
    assert list(tmp_path.iterdir()) == [path]
    return path


def rewrite(path: Path, **changes: Any) -> None:
    """Change arrays of a saved session; None removes one."""
    with np.load(path) as file:
        arrays = {**file, **changes}
    kept = {name: value for name, value in arrays.items() if value is not None}
    with path.open("wb") as file:
        np.savez(file, **kept)


def change_head(path: Path, **changes: Any) -> None:
    with np.load(path) as file:
        head = {**json.loads(file["head"].tobytes()), **changes}
    rewrite(path, head=np.frombuffer(json.dumps(head).encode(), dtype=np.uint8))


@pytest.mark.parametrize("temperature", [None, 0.9])
def test_the_third_turn_is_the_same(
    reference_model: MimoAudio, clips: dict[str, Path], tmp_path: Path, temperature: float | None
) -> None:
    overrides = Overrides(max_new_tokens=24, seed=7, temperature=temperature)
    path = tmp_path / "session.npz"
    with reference_model.session(
        system="Be kind.", voice=clips["voice"], overrides=overrides
    ) as session:
        end_of(session.stream(clips["question"]))
        end_of(session.stream(clips["short"]))
        session.save(path)
        expected = end_of(session.stream(clips["tiny"]))
        ids = text_ids(session)
    with reference_model.load_session(path, overrides=overrides) as session:
        assert len(session.turns) == 2 and session.evaluated_positions == 0
        found = end_of(session.stream(clips["tiny"]))
        assert text_ids(session) == ids
    assert same_sampling(found, expected)
    assert found.stats.cached_positions == expected.stats.cached_positions > 50


def test_text_turns_and_spoken_answers_survive(
    reference_model: MimoAudio, clips: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "session.npz"
    with reference_model.session(reply="text", overrides=OPTIONS) as session:
        session.add_turn(clips["question"], answer="Grüße 北京", speech=clips["voice"])
        session.add_turn(text="Où ça ?", answer="Ici.")
        session.save(path)  # Before anything was evaluated: there is no cache in it.
        expected = end_of(session.stream(text="And then?"))
    with reference_model.load_session(path, overrides=OPTIONS) as session:
        found = end_of(session.stream(text="And then?"))
        assert session.turns[1].request == "Où ça ?" and session.turns[1].answer == "Ici."
    assert found.stats.prompt_positions == expected.stats.prompt_positions
    assert same_sampling(found, expected)


@pytest.mark.parametrize("damage", ["cut", "none", "garbage", "wrong length"])
def test_a_cache_that_llama_cpp_refuses_is_evaluated_again(
    reference_model: MimoAudio, clips: dict[str, Path], saved: Path, damage: str
) -> None:
    with reference_model.load_session(saved, overrides=OPTIONS) as session:
        expected = end_of(session.stream(clips["tiny"]))
    with np.load(saved) as file:
        state = file["cache.state"]
        changes = {
            "cut": {"cache.state": state[: len(state) // 2]},
            "none": {"cache.state": None},
            "garbage": {"cache.state": np.full_like(state, 255)},
            "wrong length": {
                "cache.ids": file["cache.ids"][:-3],
                "cache.codes": file["cache.codes"][:-3],
            },
        }[damage]
    rewrite(saved, **changes)
    with reference_model.load_session(saved, overrides=OPTIONS) as session:
        found = end_of(session.stream(clips["tiny"]))
        again = end_of(session.stream(clips["tiny"]))
    assert found.stats.cached_positions == 0 < again.stats.cached_positions
    assert same_sampling(found, expected)


def test_other_options_of_the_cache(
    reference_bundle: Path, clips: dict[str, Path], saved: Path
) -> None:
    """A smaller context, and another number type: evaluated again where it must be."""
    others: tuple[tuple[int, Literal["f32", "f16"]], ...] = (512, "f32"), (1024, "f16")
    for context, kv_type in others:
        options = RuntimeOptions(
            threads=1, context=context, kv_type=kv_type, flash_attention=False, device="cpu"
        )
        with (
            MimoAudio.load(reference_bundle, options) as model,
            model.load_session(saved, overrides=OPTIONS) as session,
        ):
            end = end_of(session.stream(clips["tiny"]))
            assert end.stats.prompt_positions > 100 and len(session.turns) == 3
            assert (end.stats.cached_positions > 0) == (kv_type == "f32")


def test_another_bundle_is_refused(model: MimoAudio, saved: Path) -> None:
    with pytest.raises(MimoEdgeError, match="was saved with another bundle") as caught:
        model.load_session(saved)
    assert str(saved) in str(caught.value)


def test_saving_twice_and_where_it_cannot(
    reference_model: MimoAudio, clips: dict[str, Path], saved: Path, tmp_path: Path
) -> None:
    before = saved.read_bytes()
    with reference_model.load_session(saved, overrides=OPTIONS) as session:
        session.save(saved)
        assert len(saved.read_bytes()) == len(before)
        with pytest.raises(MimoEdgeError, match="cannot be written"):
            session.save(tmp_path / "no" / "session.npz")
        end_of(session.stream(clips["tiny"]))
    assert list(tmp_path.iterdir()) == [saved]


def test_over_the_command_line(
    command: Command, reference_bundle: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    """Two commands with a file between them answer as one command does."""
    session, both, apart = tmp_path / "s.npz", tmp_path / "both", tmp_path / "apart"
    apart.mkdir()
    (apart / "transcript.jsonl").write_text("of another conversation\n" * 3)
    options: tuple[object, ...] = ("--ctx", "1024", "--json", *QUICK)
    first, second = clips["question"], clips["short"]
    once = command("chat", "--input", first, "--input", second, "--output", both, *options)
    expected = [json.loads(line) for line in once.out.splitlines()]
    options = ("--output", apart, *options)
    command("chat", "--input", first, "--save-session", session, *options)
    loaded = command("chat", "--input", second, "--load-session", session, *options)
    assert loaded.status == 0, loaded.err
    found = json.loads(loaded.out)
    assert found["text"] == expected[1]["text"]
    assert found["stats"]["cached_positions"] == expected[1]["stats"]["cached_positions"] > 0

    # Numbered on, nothing of the first part is overwritten.
    transcript = (apart / "transcript.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["turn"] for line in transcript] == [1, 2]
    assert sorted(path.name for path in apart.iterdir()) == sorted(
        path.name for path in both.iterdir()
    )

    base = ("chat", "--input", second, "--load-session", session, *QUICK)
    assert "--system and --voice" in command(*base, "--system", "Be rude.").sentence
    assert "another bundle" in command(*base, "--model", reference_bundle).sentence
    session.write_bytes(b"")
    assert "is not a saved session" in command(*base).sentence


def test_the_class_says_how_a_session_answers(
    reference_model: MimoAudio, clips: dict[str, Path], tmp_path: Path
) -> None:
    """The way of answering is saved with it."""
    path = tmp_path / "text.npz"
    with reference_model.session(reply="text", overrides=OPTIONS) as session:
        session.ask(clips["short"])
        session.save(path)
    loaded: Session = reference_model.load_session(path, overrides=OPTIONS)
    with loaded:
        assert loaded.ask(clips["tiny"]).audio is None
        assert isinstance(loaded.turns[-1].answer, str)
