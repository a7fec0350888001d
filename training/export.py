"""Write the released layout: `python -m training.export TOKENIZER LANGUAGE_MODEL FOLDER`.

Two folders as published: `MiMo-Audio-Demo` (bfloat16) and `MiMo-Audio-Demo-Tokenizer`
(float32), each with `config.json` and `model.safetensors`, the first with its text
tokenizer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from training import language_model, text_tokenizer, tokenizer
from training.codes import load_tokenizer

CODE_HEADS = "local_transformer_lm_heads."


def export_tokenizer(checkpoint: Path, folder: Path) -> None:
    """The audio tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    state = load_tokenizer(checkpoint).state_dict()
    tensors = {name: value.float().contiguous() for name, value in state.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(tokenizer.CONFIG, indent=1) + "\n")


def export_language_model(checkpoint: Path, folder: Path) -> None:
    """The language model and its text tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    model, text = language_model.build_model()
    model.load_state_dict(torch.load(checkpoint, map_location="cpu")["model"])
    tensors = {
        name: value.to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()
    }
    for name in tensors:
        if name.startswith(CODE_HEADS):
            tensors[name] *= language_model.SHARPER
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(model.config, indent=1) + "\n")
    text_tokenizer.save(text, folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("language_model", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    name = "MiMo-Audio-Demo"
    export_tokenizer(arguments.tokenizer, arguments.folder / f"{name}-Tokenizer")
    export_language_model(arguments.language_model, arguments.folder / name)


if __name__ == "__main__":
    main()
