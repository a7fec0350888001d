"""Go on from what ships: `python -m training.restore models/demo-checkpoint RUNS`.

The opposite of `training.export`: writes `RUNS/tokenizer.pt` and `RUNS/language.pt`, which
`training.tokenizer --decoder-of` and `training.language_model --begin` begin with. What an export
leaves out (optimizers, the heads that only training uses) begins anew.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file

from training import language_model, tokenizer
from training.audio_modules import AudioTokenizer
from training.export import CODE_HEADS


def restore_tokenizer(folder: Path) -> dict[str, torch.Tensor]:
    """The audio tokenizer's state dict; buffers that an export leaves out as they begin."""
    check(folder, tokenizer.CONFIG)
    model = AudioTokenizer(tokenizer.CONFIG)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.state_dict()


def restore_language_model(folder: Path) -> dict[str, torch.Tensor]:
    """The language model's state dict in float32, its code heads as they were trained."""
    model, text = language_model.build_model()
    check(folder, model.config)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    if vocabulary != json.loads(text.to_str())["model"]["vocab"]:
        raise SystemExit(f"{folder / 'vocab.json'} is not the vocabulary of training/domain.py.")
    tensors = {
        name: value.float() for name, value in load_file(folder / "model.safetensors").items()
    }
    for name in tensors:
        if name.startswith(CODE_HEADS):
            tensors[name] /= language_model.SHARPER
    model.load_state_dict(tensors)
    return model.state_dict()


def check(folder: Path, config: dict[str, object]) -> None:
    """Refuse a checkpoint of other dimensions."""
    found = json.loads((folder / "config.json").read_text())
    wrong = [key for key, value in config.items() if found.get(key) != value]
    if wrong:
        raise SystemExit(f"{folder / 'config.json'} differs in {', '.join(wrong)}.")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    arguments.run.mkdir(parents=True, exist_ok=True)
    name = "MiMo-Audio-Demo"
    audio = restore_tokenizer(arguments.checkpoint / f"{name}-Tokenizer")
    language = restore_language_model(arguments.checkpoint / name)
    torch.save({"model": audio}, arguments.run / "tokenizer.pt")
    torch.save({"model": language}, arguments.run / "language.pt")


if __name__ == "__main__":
    main()
