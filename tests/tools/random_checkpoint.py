"""Write random MiMo-Audio checkpoints of any size, in the public layout.

    python -m tests.tools.random_checkpoint PROFILE OUT_DIR [--seed N] [--layers N]

Two folders come of it, the language model's and the audio tokenizer's. The
memory it takes does not grow with the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .random_noise import FreshNoise, Noise, RepeatedNoise, write_tensors
from .random_profiles import PROFILES, Profile
from .random_tensors import audio_tensors, language_tensors
from .random_vocabulary import GOLDEN, write_tokenizer

__all__ = ["PROFILES", "Checkpoint", "Profile", "make_checkpoint"]

MODEL_FOLDER = "MiMo-Audio-7B-Instruct"
TOKENIZER_FOLDER = "MiMo-Audio-Tokenizer"
OWN_TOKENS = (
    "<|sosp|>",
    "<|eosp|>",
    "<|empty|>",
    "<|Human|>",
    "<|SpeechLM|>",
    "<|sostm|>",
    "<|eostm|>",
    "<|eot|>",
)
LAYER_COUNTS = (
    "num_hidden_layers",
    "local_layers",
    "input_local_layers",
    "encoder_layers",
    "encoder_skip_layer_id",
    "decoder_layers",
    "vocoder_num_layers",
)


class Checkpoint(NamedTuple):
    """The two folders of a checkpoint."""

    model: Path
    tokenizer: Path


def make_checkpoint(
    folder: Path, profile: Profile | str, *, seed: int = 0, layers: int | None = None
) -> Checkpoint:
    """Write a random checkpoint under `folder`; the same arguments give the same bytes.

    Args:
        folder: is made, and gets one folder for the model and one for the tokenizer.
        profile: what it is like; a name of `PROFILES`, or one's own.
        seed: of the weights.
        layers: at most this many in every transformer.
    """
    if isinstance(profile, str):
        profile = PROFILES[profile]
    result = Checkpoint(folder / MODEL_FOLDER, folder / TOKENIZER_FOLDER)
    for path in result:
        path.mkdir(parents=True)
    noise = RepeatedNoise if profile.repeated_noise else FreshNoise
    _write_language_model(result.model, profile, noise(seed), layers)
    _write_audio_tokenizer(result.tokenizer, profile, noise(seed), seed, layers)
    return result


def _write_language_model(
    folder: Path,
    profile: Profile,
    noise: Noise,
    layers: int | None,
) -> None:
    ids = write_tokenizer(
        folder,
        entries=profile.text_entries,
        dropped=profile.dropped_tokens,
        fast=profile.fast_tokenizer,
        merges_as_text=profile.merges_as_text,
    )
    eos = ids["<|endoftext|>"]
    for token in OWN_TOKENS:  # where a tokenizer that lacks one puts it
        ids.setdefault(token, max(ids.values()) + 1)
    config = _config(GOLDEN, profile.language, layers)
    config |= {"bos_token_id": eos, "eos_token_id": eos}
    if max(ids.values()) >= config["vocab_size"]:
        raise ValueError(f"vocab_size {config['vocab_size']} is too small for {len(ids)} tokens")
    _write_config(folder, config)
    louder = {ids[token]: factor for token, factor in profile.louder.items()}
    specs = list(language_tensors(config, louder))
    dtype = profile.language_dtype
    write_tensors(folder, specs, dtype, noise, profile.shard_bytes)


def _write_audio_tokenizer(
    folder: Path,
    profile: Profile,
    noise: Noise,
    seed: int,
    layers: int | None,
) -> None:
    config = _config(GOLDEN.parent / TOKENIZER_FOLDER, profile.audio, layers)
    _write_config(folder, config)
    specs = list(audio_tensors(config, seed))
    write_tensors(folder, specs, profile.audio_dtype, noise)


def _config(base: Path, overrides: Mapping[str, Any], layers: int | None) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((base / "config.json").read_text("utf-8"))
    config |= overrides
    for key in LAYER_COUNTS:
        if layers is not None and config.get(key) is not None:
            config[key] = min(config[key], layers)
    return config


def _write_config(folder: Path, config: Mapping[str, Any]) -> None:
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="random_checkpoint", description=__doc__.split("\n")[0])
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, help="at most this many in every transformer")
    given = parser.parse_args(arguments)
    made = make_checkpoint(given.out_dir, given.profile, seed=given.seed, layers=given.layers)
    for path in made:
        size = sum(file.stat().st_size for file in path.iterdir())
        sys.stdout.write(f"{path}  {size / 1e9:.3f} GB\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
