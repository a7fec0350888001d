"""Generation with the PyTorch model: one sequence at a time, for evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.lm_modules import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How to draw from logits; temperature 0 means greedy."""

    temperature: float = 0.9
    top_p: float = 0.95

    def draw(self, logits: Tensor, generator: torch.Generator, banned: int = -1) -> Tensor:
        """Logits [..., n] → indices [...]; `banned` is removed after the cut."""
        if self.temperature:
            ordered, order = (logits / self.temperature).sort(dim=-1)
            drop = ordered.softmax(-1).cumsum(-1) <= 1 - self.top_p
            drop[..., -1] = False
            kept = ordered.masked_fill(drop, -torch.inf)
            scores = torch.empty_like(kept).scatter(-1, order, kept)
        else:
            scores = logits.clone()
        if banned >= 0:
            scores[..., banned] = -torch.inf
            alone = torch.isinf(scores).all(-1, keepdim=True)
            if alone.any():
                rest = logits.clone()
                rest[..., banned] = -torch.inf
                best = torch.zeros_like(rest).scatter(-1, rest.argmax(-1, keepdim=True), 1.0)
                scores = torch.where(alone, best.log(), scores)
        if not self.temperature:
            return scores.argmax(-1)
        shape = scores.shape[:-1]
        flat = scores.softmax(-1).reshape(-1, scores.shape[-1])
        return torch.multinomial(flat, 1, generator=generator).reshape(shape)


class Generator:
    """The interleaved loop over one model."""

    def __init__(self, model: LanguageModel, seed: int) -> None:
        self.model = model
        self.random = torch.Generator().manual_seed(seed)
        self.no_codes = torch.tensor(model.empty_codes).expand(model.group, -1)

    @torch.no_grad()
    def patches(self, start: Tensor, sampler: Sampler) -> Tensor:
        """Step-0 inputs [N, local] → codes [N, 4, 8]."""
        model = self.model
        codes = torch.zeros(len(start), model.group, model.channels, dtype=torch.long)
        cache, x = model.local_transformer.new_cache(), start[:, None]
        for step in range(model.group + max(model.delays)):
            y = model.local_transformer(x, cache=cache)[:, -1]
            x = torch.zeros_like(x)
            for channel, delay in enumerate(model.delays):
                if delay <= step < delay + model.group:
                    logits = model.local_transformer_lm_heads[channel](y)
                    code = sampler.draw(logits, self.random, model.empty_codes[channel])
                    codes[:, step - delay, channel] = code
                    x = x + model.to_local(channel, code)[:, None]
        return codes

    @torch.no_grad()
    def run(
        self,
        text: Tensor,
        codes: Tensor,
        stops: set[int],
        most: int,
        text_sampler: Sampler,
        code_sampler: Sampler,
    ) -> tuple[Tensor, Tensor]:
        """Prompt [P], [P, 4, 8] → what is appended, [n] and [n, 4, 8], the stop id included."""
        model, cache = self.model, self.model.model.new_cache()
        all_text, all_codes = [], []
        for _ in range(most):
            hidden = model.model(model.embed(text[None], codes[None]), cache=cache)[:, -1]
            token = text_sampler.draw(model.lm_head(hidden), self.random)
            if int(token) == model.empty:
                patch = self.patches(model.hidden_states_downcast(hidden), code_sampler)
            else:
                patch = self.no_codes[None]
            all_text.append(token)
            all_codes.append(patch)
            text, codes = token, patch
            if int(token) in stops:
                break
        return torch.cat(all_text), torch.cat(all_codes)
