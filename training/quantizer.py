"""Residual vector quantization with codebooks that follow the data (released tensor names)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Codebook(nn.Module):
    """One level of the RVQ: an EMA codebook with k-means start and expiry of dead codes."""

    decay = 0.99
    dead_below = 0.2  # expected uses per update below which a code is replaced

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.zeros(1))
        self.register_buffer("cluster_size", torch.zeros(size))
        self.register_buffer("embed", torch.zeros(size, dim))
        self.register_buffer("embed_avg", torch.zeros(size, dim))

    def nearest(self, x: Tensor) -> Tensor:
        """[N, C] → index of the closest row [N]."""
        return (self.embed.pow(2).sum(1) - 2 * x @ self.embed.t()).argmin(1)

    @torch.no_grad()
    def start(self, x: Tensor, iterations: int = 20) -> None:
        """k-means on the first vectors [N, C] seen."""
        rows = x[torch.randint(len(x), (len(self.embed),))]
        for _ in range(iterations):
            self.embed.copy_(rows)
            index = self.nearest(x)
            count = torch.bincount(index, minlength=len(rows)).float()
            mean = torch.zeros_like(rows).index_add_(0, index, x) / count.clamp(min=1)[:, None]
            rows = torch.where(count[:, None] > 0, mean, x[torch.randint(len(x), (len(rows),))])
        self.embed.copy_(rows)
        self.cluster_size.copy_(count.clamp(min=1))
        self.embed_avg.copy_(rows * self.cluster_size[:, None])
        self.inited.fill_(1)

    @torch.no_grad()
    def update(self, x: Tensor, index: Tensor) -> None:
        """One step of the moving averages from vectors [N, C] and their codes [N]."""
        count = torch.bincount(index, minlength=len(self.embed)).to(x.dtype)
        total = torch.zeros_like(self.embed).index_add_(0, index, x)
        self.cluster_size.lerp_(count, 1 - self.decay)
        self.embed_avg.lerp_(total, 1 - self.decay)
        dead = self.cluster_size < self.dead_below
        if dead.any():
            fresh = x[torch.randint(len(x), (int(dead.sum()),))]
            self.embed_avg[dead] = fresh
            self.cluster_size[dead] = 1.0
        self.embed.copy_(self.embed_avg / self.cluster_size[:, None])


class Level(nn.Module):
    """Only a name: `layers.{i}._codebook`."""

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self._codebook = Codebook(size, dim)

    @property
    def codebook(self) -> Codebook:
        """The codebook itself."""
        return self._codebook


class Levels(nn.Module):
    """Only a name: `vq.layers`."""

    def __init__(self, sizes: list[int], dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Level(size, dim) for size in sizes)


class Quantized(NamedTuple):
    """What the quantizer returns while training."""

    levels: Tensor  # [B, levels, C] running sums of codebook rows after each level
    codes: Tensor  # [B, levels]


class Quantizer(nn.Module):
    """Residual vector quantizer over flat vectors [N, C]."""

    def __init__(self, sizes: list[int], dim: int) -> None:
        super().__init__()
        self.vq = Levels(sizes, dim)

    def forward(self, x: Tensor, learn: bool = False) -> Quantized:
        """Quantize with all levels; `learn` updates the codebooks."""
        residual, total = x.detach(), torch.zeros_like(x)
        sums, codes = [], []
        for level in self.vq.layers:
            book = level.codebook
            if learn and not book.inited:
                book.start(residual)
            index = book.nearest(residual)
            row = book.embed[index]
            if learn:
                book.update(residual, index)
            residual, total = residual - row, total + row
            sums.append(total)
            codes.append(index)
        return Quantized(torch.stack(sums, 1), torch.stack(codes, 1))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [..., levels] → sum of rows [..., C]."""
        books = self.vq.layers
        return sum(books[i].codebook.embed[codes[..., i]] for i in range(codes.shape[-1]))
