"""The mean of several trained models: `python -m training.average OUT MODEL MODEL ...`.

Runs that began with the same model end in the same valley, each off its middle by what it saw
last; their mean is often better than any of them (Wortsman et al., 2022, "Model soups"). Takes
`last.pt` of language models or what `training.restore` wrote, and can be exported or begun with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch


def mean(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Of the models' state dicts."""
    models = [torch.load(path, map_location="cpu")["model"] for path in paths]
    return {name: sum(model[name] for model in models) / len(models) for name in models[0]}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    arguments = parser.parse_args()
    torch.save({"model": mean(arguments.models)}, arguments.out)


if __name__ == "__main__":
    main()
