"""The model card of a bundle: what a hub shows of it, and whoever opens its folder reads."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from mimo_edge.bundle.documents import LEGAL_TEXTS, OWN_CARD_MARK
from mimo_edge.bundle.manifest import PART_FILES, Manifest

__all__ = ["model_card"]

_LICENCE = re.compile(r"^(license|license_name|license_link): *([\w.:/-]+) *$", re.MULTILINE)
"""What a hub knows of a licence, in the lines at the beginning of a card."""


def model_card(manifest: Manifest, folder: Path, repository: str | None = None) -> str:
    """The card of the bundle in `folder`, in Markdown, with what a hub wants to know on top.

    It says where the model came from, how it is stored, and how to run it; `repository` is where
    on a hub it will lie, None if that is not known.
    """
    title = f"{manifest.name}, recipe {manifest.recipe}"
    parts = [_front_matter(manifest, folder), f"# {title}", _origin(manifest)]
    parts += [_how_to_run(manifest, repository), _sizes(manifest), _texts(manifest)]
    return "\n\n".join(part for part in (*parts, OWN_CARD_MARK) if part) + "\n"


def _checkpoints(manifest: Manifest) -> list[str]:
    return sorted({file.name.rpartition("/")[0] for file in manifest.source})


def _front_matter(manifest: Manifest, folder: Path) -> str:
    tags = ["mimo_edge", "gguf", "onnx", "audio", *(["speech"] if manifest.speaks else [])]
    bases = [name for name in _checkpoints(manifest) if name.count("/") == 1]
    lines = ["---", "library_name: mimo_edge", *_licence(manifest, folder)]
    lines += ["tags:", *(f"- {tag}" for tag in tags)]
    if bases:
        lines += ["base_model:", *(f"- {name}" for name in bases), "base_model_relation: quantized"]
    return "\n".join([*lines, "---"])


def _licence(manifest: Manifest, folder: Path) -> list[str]:
    """The lines about the licence in the card of the language model."""
    names = {document.name for document in manifest.documents}
    path = folder / "README-model.md"
    if path.name not in names or not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace").removeprefix("\ufeff")
    if not text.startswith("---"):
        return []
    head = text.partition("---")[2].partition("\n---")[0]
    return [f"{key}: {value}" for key, value in _LICENCE.findall(head)]


def _origin(manifest: Manifest) -> str:
    sources = " and ".join(_checkpoints(manifest)) or "a checkpoint"
    commits = ", ".join(sorted({file.revision for file in manifest.source if file.revision}))
    if manifest.prompts == "mimo-v2.5-asr":
        can = "It writes down what is said, in English and Chinese."
    else:
        can = "It listens, and speaks." if manifest.speaks else "It listens, and answers in text."
    return (
        f"Converted by mimo_edge {version('mimo-edge')} from {sources}"
        + (f" (commits {commits})" if commits else "")
        + f". {can}"
        + " How far it is from the checkpoint was not measured; `mimo-edge compare` does that."
    )


def _how_to_run(manifest: Manifest, repository: str | None) -> str:
    fetch = f"mimo-edge pull {repository or 'OWNER/NAME'} -o bundle"
    if manifest.prompts == "mimo-v2.5-asr":
        talk = "mimo-edge transcribe recording.mp3 --model bundle"
    else:
        talk = f"mimo-edge {'chat' if manifest.speaks else 'text'} --model bundle"
    return f"```sh\n{fetch} --fingerprint {manifest.fingerprint()}\n{talk}\n```"


def _sizes(manifest: Manifest) -> str:
    files = {file.name: file for file in manifest.files}
    rows = ["| part | stored as | million weights | MB |", "| --- | --- | --- | --- |"]
    for part, precision in manifest.precisions.items():
        held = [files[name] for name in PART_FILES[part] if name in files]
        weights = sum(file.parameters for file in held) / 1e6
        size = sum(file.size for file in held) / 1e6
        rows.append(f"| {part} | {precision} | {weights:.1f} | {size:.1f} |")
    total = sum(file.size for file in manifest.files) / 1e6
    return "\n".join([*rows, f"| all | | | {total:.1f} |"])


def _texts(manifest: Manifest) -> str:
    """The licences and cards that came with the checkpoints."""
    texts = [f"[{text.name}]({text.name}) ({text.source})" for text in manifest.documents]
    if not texts:
        return "The checkpoints came without a licence text; their terms apply to this bundle."
    legal = any(text.name.removeprefix("tokenizer-") in LEGAL_TEXTS for text in manifest.documents)
    which = "These texts came with the checkpoints, whose terms apply to this bundle"
    return f"{which}{'' if legal else ' (there was no licence among them)'}: {', '.join(texts)}."
