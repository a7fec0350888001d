"""Batches of the language model's training: examples of the tasks, padded to tensors."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.codes import CodeBank, load_tokenizer
from training.data import Speech
from training.sequences import Stream
from training.tasks import Tasks

SORTED = 4  # batches that are drawn together and sorted by length
Batch = tuple[Tensor, Tensor, Tensor, list[tuple[int, int, int, list[int]]], Tensor]


def collate(streams: list[Stream], fill: int) -> Batch:
    """Pad at the end: text [B, P], codes [B, P, 4, 8], which positions are learned [B, P],
    and what is heard: (row, first, end, words), and what is said when [B, P, 4, 2]."""
    longest = max(len(stream.text) for stream in streams)
    text = np.full((len(streams), longest), fill, np.int64)
    codes = np.broadcast_to(streams[0].no_codes, (*text.shape, 4, 8)).astype(np.int64)
    learn = np.zeros(text.shape, bool)
    said = np.full((*text.shape, 4, 2), -1, np.int64)
    for row, stream in enumerate(streams):
        size = len(stream.text)
        text[row, :size], codes[row, :size] = stream.text, np.stack(stream.codes)
        learn[row, :size] = stream.learn
        for position, words in stream.words.items():
            said[row, position] = words
    spans = [(row, *span) for row, stream in enumerate(streams) for span in stream.spans]
    text, codes, learn, said = (torch.from_numpy(array) for array in (text, codes, learn, said))
    return text, codes, learn, spans, said


class Batches(Dataset[list[Batch]]):
    """Item `i` is the batches of the training steps from `i * SORTED` on."""

    def __init__(
        self, arguments: argparse.Namespace, tokenizer: Any, empty_codes: list[int], rank: int
    ) -> None:
        """`rank` is the process's own number: each draws other examples."""
        self.size, self.seed, self.steps = arguments.batch, arguments.seed, arguments.steps
        self.paths = (arguments.data, arguments.tokenizer, arguments.run)
        self.shares = tuple(arguments.shares)
        self.tokenizer, self.empty_codes, self.rank = tokenizer, empty_codes, rank
        self.tasks: Tasks | None = None

    def __len__(self) -> int:
        return -(-self.steps // SORTED)

    def __getitem__(self, number: int) -> list[Batch]:
        """In the loader's process; the first call there loads the audio tokenizer."""
        if self.tasks is None:
            torch.set_num_threads(1)
            data, tokenizer, run = self.paths
            bank = CodeBank(Speech(data), load_tokenizer(tokenizer), run, part=self.rank)
            self.tasks = Tasks(bank, self.tokenizer, self.empty_codes, shares=self.shares)
        seed = (self.seed, number, self.rank) if self.rank else (self.seed, number)
        rng = np.random.default_rng(seed)
        drawn = [self.tasks.example(rng) for _ in range(self.size * SORTED)]
        drawn.sort(key=lambda stream: len(stream.text))
        eos = self.tokenizer.token_to_id("<|endoftext|>")
        order = rng.permutation(SORTED)
        return [collate(drawn[i * self.size : (i + 1) * self.size], eos) for i in order]
