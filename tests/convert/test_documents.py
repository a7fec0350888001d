"""Licences and model cards go from the checkpoints into the bundle, and wherever it goes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from convert.sharing.packing import pack
from convert.sharing.pulling import pull
from convert.sharing.sources import FolderSource
from mimo_edge.bundle.files import load_manifest
from mimo_edge.errors import MimoEdgeError
from tests.convert.bundle_folders import write_manifest
from tests.convert.sharing.small_wheels import make_wheelhouse
from tests.tools.bundles import convert_checkpoint
from tests.tools.command_line import Command
from tests.tools.safetensors_files import AUDIO_TOKENIZER, LANGUAGE_MODEL

CARD = "---\nlicense: mit\nlanguage: en\n---\n# A model\n"
TEXTS = {
    "LICENSE": "Do as you like.",
    "NOTICE.txt": "Somebody made this.",
    "README-model.md": CARD,
    "README-tokenizer.md": "# Its ears",
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Both have the same licence, and a card of their own."""
    folder = tmp_path_factory.mktemp("checkpoints")
    model = Path(shutil.copytree(LANGUAGE_MODEL, folder / "Model"))
    tokenizer = Path(shutil.copytree(AUDIO_TOKENIZER, folder / "Ears"))
    (model / "LICENSE").write_text(TEXTS["LICENSE"])
    (tokenizer / "LICENSE").write_text(TEXTS["LICENSE"])
    (model / "NOTICE.txt").write_text(TEXTS["NOTICE.txt"])
    (model / "README.md").write_text(CARD)
    (tokenizer / "README.md").write_text(TEXTS["README-tokenizer.md"])
    return model, tokenizer


@pytest.fixture(scope="module")
def made(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that tests must copy before they touch it."""
    return convert_checkpoint(*checkpoints, tmp_path_factory.mktemp("made") / "bundle")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def texts(folder: Path) -> dict[str, str]:
    return {name: (folder / name).read_text() for name in TEXTS if (folder / name).exists()}


def test_they_come_along_and_are_listed(made: Path, checkpoints: tuple[Path, Path]) -> None:
    assert texts(made) == TEXTS and not (made / "tokenizer-LICENSE").exists()
    listed = {text.name: text.source for text in load_manifest(made).documents}
    assert listed == {
        "LICENSE": "Model/LICENSE",
        "NOTICE.txt": "Model/NOTICE.txt",
        "README-model.md": "Model/README.md",
        "README-tokenizer.md": "Ears/README.md",
    }
    card = (made / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: mimo_edge\nlicense: mit\n")
    for part in ("test, recipe reference", "from Ears and Model.", "[LICENSE](LICENSE)"):
        assert part in card, card
    assert f"--fingerprint {load_manifest(made).fingerprint()}" in card


def test_they_are_verified_but_not_needed(command: Command, bundle: Path) -> None:
    assert command("verify", bundle).status == 0
    (bundle / "README.md").write_text("my own words")  # everybody may write that one
    assert command("verify", bundle).status == 0
    (bundle / "LICENSE").write_text("All mine.")
    (bundle / "NOTICE.txt").unlink()
    said = command("verify", bundle).sentence
    assert "LICENSE is damaged" in said and "NOTICE.txt is missing" in said
    assert load_manifest(bundle).name == "test"  # a model runs without them


def test_they_go_wherever_the_bundle_goes(command: Command, bundle: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    pack(bundle, [make_wheelhouse(tmp_path / "wheelhouse")], stick)
    assert texts(stick / "bundle") == TEXTS and command("verify", stick).status == 0
    pull(lambda: FolderSource(folder=bundle), tmp_path / "copy")
    assert texts(tmp_path / "copy") == TEXTS
    (bundle / "LICENSE").unlink()
    for attempt in (
        lambda: pack(bundle, [tmp_path / "wheelhouse"], tmp_path / "a"),
        lambda: pull(lambda: FolderSource(folder=bundle), tmp_path / "b"),
    ):
        with pytest.raises(MimoEdgeError, match=r"LICENSE (is missing|cannot be read)"):
            attempt()


def test_they_are_replaced_with_the_bundle(bundle: Path) -> None:
    convert_checkpoint(LANGUAGE_MODEL, AUDIO_TOKENIZER, bundle, force=True)
    assert not texts(bundle) and not load_manifest(bundle).documents
    assert "without a licence text" in (bundle / "README.md").read_text()
    # What a person wrote is not.
    (bundle / "README.md").write_text("my own words")
    with pytest.raises(MimoEdgeError, match=r"holds README\.md, which is not part of the bundle"):
        convert_checkpoint(LANGUAGE_MODEL, AUDIO_TOKENIZER, bundle, force=True)
    assert (bundle / "README.md").read_text() == "my own words"


def test_what_is_no_text_about_a_model(checkpoints: tuple[Path, Path], tmp_path: Path) -> None:
    model = Path(shutil.copytree(checkpoints[0], tmp_path / "model"))
    with (model / "LICENSE").open("wb") as file:
        file.truncate(1 << 23)
    with pytest.raises(MimoEdgeError, match=r"LICENSE has 8388608 bytes, more than a text"):
        convert_checkpoint(model, checkpoints[1], tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["../thesis.txt", "thesis.txt", "README.md"])
def test_a_manifest_that_lists_the_files_of_others(tmp_path: Path, name: str) -> None:
    text = {"name": name, "size": 1, "sha256": "0" * 64, "source": "x/LICENSE"}
    write_manifest(tmp_path, lambda values: values.update(documents=[text]))
    with pytest.raises(MimoEdgeError, match="which no licence or model card is called"):
        load_manifest(tmp_path)
