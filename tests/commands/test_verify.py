"""`mimo-edge verify`: each file is said, and what is wrong is one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.tools.command_line import Command


@pytest.fixture
def bundle(default_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(default_bundle, tmp_path / "bundle"))


def test_a_whole_bundle(command: Command, bundle: Path) -> None:
    (bundle / "README.md").write_text("a model card belongs to a bundle")
    done = command("verify", bundle)
    assert done.status == 0, done.err
    *files, verdict = done.out.splitlines()
    assert "whole       backbone.gguf" in files
    assert f"all {len(files)} files are whole" in verdict
    records = [json.loads(line) for line in command("verify", bundle, "--json").out.splitlines()]
    assert len(records) == len(files) and {record["state"] for record in records} == {"whole"}


def test_a_bundle_with_every_kind_of_fault(command: Command, bundle: Path) -> None:
    data = bytearray((bundle / "backbone.gguf").read_bytes())
    data[len(data) // 2 + 10_000] ^= 1  # where the quick check at loading does not look
    (bundle / "backbone.gguf").write_bytes(data)
    (bundle / "vocoder.onnx").unlink()
    (bundle / "thesis.txt").write_text("x")
    done = command("verify", bundle)
    assert "backbone.gguf is damaged (another hash than listed)" in done.sentence
    assert "vocoder.onnx is missing" in done.sentence
    assert "thesis.txt is not in the list" in done.sentence
    said = {name: state for state, name in map(str.split, done.out.splitlines())}
    assert said["backbone.gguf"] == "damaged" and said["vocoder.onnx"] == "missing"
    assert said["thesis.txt"] == "extra" and said["audio_encoder.onnx"] == "whole"


def test_only_what_does_not_belong_there(command: Command, bundle: Path) -> None:
    (bundle / "thesis.txt").write_text("x")
    assert command("verify", bundle).sentence.endswith("remove what does not belong there.")


def test_folders_that_cannot_be_verified(command: Command, tmp_path: Path) -> None:
    assert "is not a folder" in command("verify", tmp_path / "nothing").sentence
    (tmp_path / "empty").mkdir()
    assert "no hashes to compare with" in command("verify", tmp_path / "empty").sentence
