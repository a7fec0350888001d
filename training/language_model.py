"""Train the language model: `python -m training.language_model DATA TOKENIZER RUN`.

Needs a trained audio tokenizer (its `last.pt`). Codes are computed as they are needed,
in a process of their own, and kept in `RUN`. `RUN/last.pt` is written every few minutes
and continued from. On two cores, two processes that average their gradients get further
than one with two threads: `torchrun --nproc-per-node 2 -m training.language_model …`.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from training import domain, text_tokenizer
from training.batches import SORTED, Batch, Batches
from training.lm_modules import LanguageModel, dashes
from training.rhythm import LONGEST
from training.tasks import SHARES

SHARPER = 2.0
"""Factor on what the code heads say when exported, so that the released temperature of 0.9 samples
at 0.45.

A power of two: nothing is rounded. A model this small is less sure of its codes than the released
one, and at 0.9 every few words a sample is the beginning of another word.
"""
RELEASED_TEMPERATURE = 0.9
CODE_WEIGHTS = (24, 8, 6, 4, 2, 2, 1, 1)
CONFIG: dict[str, Any] = {
    "architectures": ["MiMoAudioForCausalLM"],
    "model_type": "qwen2",
    "torch_dtype": "bfloat16",
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 768,
    "local_dim": 160,
    "local_layers": 3,
    "local_attn_heads": 5,
    "local_ffn_dim": 448,
    "input_local_layers": 2,
    "input_local_dim": 160,
    "group_size": 4,
    "audio_channels": 8,
    "speech_vocab_size": "257-257-129-129-129-129-129-129",
    "speech_zeroemb_idx": "256-256-128-128-128-128-128-128",
    "delay_pattern": "0-1-2-3-4-5-6-7",
    "max_position_embeddings": 384,  # about the longest conversations it sees in training
    "rope_theta": 640000.0,
    "rms_norm_eps": 1e-06,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "input_full_attention": True,
    "local_attn_dropout": 0.1,
    "attention_dropout": 0.0,
    "use_sliding_window": False,
}
EMPTY_CODES = dashes(CONFIG["speech_zeroemb_idx"], CONFIG["audio_channels"])
log = logging.getLogger(__name__)
RANK, PROCESSES = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
EAR_LAYER = 2  # after which the words heard can be read off, one by one as they end
MOUTH_LAYER = 3  # after which it is settled which words the next patch says
HEADS_ALONE = 150  # steps in which new heads on a trained model learn without changing it


def build_model() -> tuple[LanguageModel, Any]:
    """A fresh model and its text tokenizer."""
    tokenizer = text_tokenizer.build()
    special = {"eos_token_id": tokenizer.token_to_id("<|endoftext|>")}
    special["bos_token_id"] = special["eos_token_id"]
    config = {**CONFIG, "vocab_size": tokenizer.get_vocab_size(), **special}
    model = LanguageModel(config, tokenizer.token_to_id("<|empty|>"))
    initialize(model)
    return model, tokenizer


def initialize(model: LanguageModel) -> None:
    """Words and patches enter the backbone equally loud, louder than what layers add at first.

    With small embeddings the first layers drown the words, and copying is learned late.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() == 2:
            std = parameter.shape[1] ** -0.5
            if name == "model.embed_tokens.weight":
                std = 0.5
            elif name.startswith("speech_embeddings."):
                std = 0.3
            elif name.startswith(("lm_head", "local_transformer_lm_heads")):
                std = 0.02
            elif name.endswith(
                ("o_proj.weight", "down_proj.weight", "speech_group_downcast.weight")
            ):
                std *= 0.5
            nn.init.normal_(parameter, std=std)


class Trainer:
    """Model, optimizer and their place in time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        torch.manual_seed(arguments.seed)  # the same model in every process
        self.model, self.tokenizer = build_model()
        self.steps, self.rate, self.most = arguments.steps, arguments.rate, arguments.patches
        self.noise, self.own, self.bfloat16 = arguments.noise, arguments.own, arguments.bfloat16
        self.step, self.path = 0, arguments.run / "last.pt"
        self.ear = nn.Linear(CONFIG["hidden_size"], len(domain.WORDS) + 1)
        self.mouth = nn.Linear(CONFIG["hidden_size"], 4 * (len(domain.WORDS) + 1 + LONGEST))
        parameters = [
            *self.model.parameters(),
            *self.ear.parameters(),
            *self.mouth.parameters(),
        ]
        self.optimizer = torch.optim.AdamW(
            parameters, betas=(0.9, 0.98), weight_decay=0.02, fused=True
        )
        for parameter in parameters:  # every process has every gradient, always
            parameter.grad = torch.zeros_like(parameter)
        self.weights = torch.tensor(CODE_WEIGHTS) / sum(CODE_WEIGHTS)
        self.heads_alone = HEADS_ALONE if arguments.begin else 0
        if arguments.begin:
            self.model.load_state_dict(torch.load(arguments.begin)["model"])
        if self.path.exists():
            state = torch.load(self.path)
            self.model.load_state_dict(state["model"])
            self.ear.load_state_dict(state["ear"])
            self.mouth.load_state_dict(state["mouth"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        torch.manual_seed(arguments.seed + 1000 * self.step + RANK)

    def save(self) -> None:
        """Atomically, by one process."""
        if RANK:
            return
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        heads = {"ear": self.ear.state_dict(), "mouth": self.mouth.state_dict()}
        torch.save(state | heads | {"step": self.step}, self.path.with_suffix(".new"))
        self.path.with_suffix(".new").rename(self.path)

    def disturb(self, codes: Tensor) -> Tensor:
        """Replace a few fine codes of the past: the model will read its own samples."""
        noisy = codes.clone()
        for channel in range(1, codes.shape[-1]):
            share = self.noise if channel > 1 else self.noise / 4
            column = noisy[..., channel]
            hit = (torch.rand(column.shape) < share) & (column != EMPTY_CODES[channel])
            column[hit] = torch.randint(EMPTY_CODES[channel], (int(hit.sum()),))
        return noisy

    @torch.no_grad()
    def own_past(self, text: Tensor, codes: Tensor, learn: Tensor) -> Tensor:
        """Some patches of the answers as the model itself would have said them here.

        It will speak after its own samples, of which some are wrong, and has to go on with the
        right word all the same (scheduled sampling in two passes, Mihaylova and Martins, 2019).
        """
        model, place = self.model, learn & (text == self.model.empty)
        place[:, 0] = False
        place &= torch.rand(place.shape) < self.own
        if not place.any():
            return codes
        hidden = model.model(model.embed(text, codes))[place.roll(-1, 1)]
        logits = model.patch_logits(hidden, codes[place])
        codes, said = codes.clone(), []
        for channel, y in enumerate(logits):
            y = (y.float() * SHARPER / RELEASED_TEMPERATURE).softmax(-1)
            y[..., EMPTY_CODES[channel]] = 0
            said.append(torch.multinomial(y.flatten(0, 1), 1).view(y.shape[:2]))
        codes[place] = torch.stack(said, -1)
        return codes

    def ear_loss(self, x: Tensor, spans: list[tuple[int, int, int, list[int]]]) -> Tensor:
        """CTC: the words heard, in their order, somewhere in the positions of their audio.

        It teaches listening long before answers in text do; the head is not exported.
        """
        spans = [span for span in spans if span[2] - span[1] > len(span[3])]
        if not spans:
            return x.sum() * 0
        pieces = [x[row, first:end] for row, first, end, _ in spans]
        padded = nn.utils.rnn.pad_sequence(pieces)
        logits = self.ear(F.rms_norm(padded, padded.shape[-1:])).float()
        words = torch.tensor([word for span in spans for word in span[3]])
        sizes = torch.tensor([len(span[3]) for span in spans])
        lengths = torch.tensor([len(piece) for piece in pieces])
        return F.ctc_loss(logits.log_softmax(-1), words, lengths, sizes, zero_infinity=True)

    def mouth_loss(self, x: Tensor, said: Tensor) -> Tensor:
        """Which word every step of the next patch is in, and how far in it.

        The codes alone teach slowly where in the text the voice has come to: most of their
        surprise is in how a word sounds. The head is not exported.
        """
        known = said[:, 1:, 0, 0] >= 0
        if not known.any():
            return x.sum() * 0
        x, said = x[:, :-1][known], said[:, 1:][known].flatten(0, 1)
        logits = self.mouth(F.rms_norm(x, x.shape[-1:])).float().reshape(len(said), -1)
        words, since = logits.split([len(domain.WORDS) + 1, LONGEST], dim=-1)
        return F.cross_entropy(words, said[:, 0]) + 0.5 * F.cross_entropy(since, said[:, 1])

    def losses(
        self, text: Tensor, codes: Tensor, learn: Tensor, spans: Any, said: Tensor
    ) -> tuple[Tensor, ...]:
        """(text loss, weighted code loss, CTC loss, loss of the words said, code loss per
        codebook)."""
        model = self.model
        seen: list[Tensor] = []
        past = self.own_past(text, codes, learn) if self.own and self.step % 2 else codes
        hidden = model.model(model.embed(text, self.disturb(past)), seen=seen)[:, :-1]
        if self.step < self.heads_alone:
            seen = [x.detach() for x in seen]
        ear_loss = self.ear_loss(seen[EAR_LAYER - 1], spans)
        mouth_loss = self.mouth_loss(seen[MOUTH_LAYER - 1], said)
        wanted = learn[:, 1:]
        words = text[:, 1:][wanted]
        weights = torch.where(words == model.empty, 0.2, 1.0)
        surprise = F.cross_entropy(model.lm_head(hidden[wanted]), words, reduction="none")
        text_loss = (surprise * weights).sum() / weights.sum()
        spoken = (wanted & (text[:, 1:] == model.empty)).flatten().nonzero()[:, 0]
        if len(spoken) > self.most:
            spoken = spoken[torch.randperm(len(spoken))[: self.most]]
        if not len(spoken):
            return text_loss, text_loss * 0, ear_loss, mouth_loss, torch.zeros(len(CODE_WEIGHTS))
        targets = codes[:, 1:].flatten(0, 1)[spoken]
        logits = model.patch_logits(hidden.flatten(0, 1)[spoken], targets)
        each = torch.stack(
            [
                F.cross_entropy(y.flatten(0, 1), targets[..., r].flatten())
                for r, y in enumerate(logits)
            ]
        )
        return text_loss, (each * self.weights).sum(), ear_loss, mouth_loss, each.detach()

    def share_gradients(self) -> None:
        """The mean over all processes, where there are several."""
        if PROCESSES == 1:
            return
        parameters = self.optimizer.param_groups[0]["params"]
        joined = nn.utils.parameters_to_vector([p.grad for p in parameters])
        dist.all_reduce(joined)
        nn.utils.vector_to_parameters(joined / PROCESSES, [p.grad for p in parameters])

    def learn(self, batch: Batch) -> Tensor:
        """One step."""
        warm = min(1.0, (self.step + 1) / 150)
        decay = 0.5 + 0.5 * math.cos(math.pi * min(1.0, self.step / self.steps))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * warm * max(decay, 0.005)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            *losses, each = self.losses(*batch)
        self.optimizer.zero_grad(set_to_none=False)
        sum(losses).backward()
        self.share_gradients()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return torch.cat((torch.stack(losses).detach(), each))


def parse() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--begin", type=Path, help="begin with this model (training.restore)")
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patches", type=int, default=160, help="spoken patches learned a step")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--noise", type=float, default=0.05, help="share of fine codes disturbed")
    parser.add_argument(
        "--own", type=float, default=0.3, help="share of its past that it samples, every other step"
    )
    parser.add_argument(
        "--shares", type=float, nargs=2, default=SHARES, help="transcription and speaking"
    )
    parser.add_argument("--bfloat16", action="store_true", help="faster where the CPU has it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    """Train to the last step."""
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    if PROCESSES > 1:
        dist.init_process_group("gloo")
    arguments.run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(arguments)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    log.info("%.2f M parameters, from step %d", parameters / 1e6, trainer.step)
    batches = Batches(arguments, trainer.tokenizer, EMPTY_CODES, RANK)
    order = range(trainer.step // SORTED, len(batches))
    loader = DataLoader(batches, batch_size=None, sampler=order, num_workers=1, prefetch_factor=4)
    total, count = torch.zeros(4 + len(CODE_WEIGHTS)), 0
    saved = began = time.monotonic()
    for group in loader:
        for batch in group:
            total, count = total + trainer.learn(batch), count + 1
            if trainer.step % 50 == 0 and not RANK:
                pace = (time.monotonic() - began) / count
                text_loss, code_loss, ear_loss, mouth_loss, *each = (total / count).tolist()
                detail = " ".join(f"{value:.2f}" for value in each)
                form = "step %d  text %.4f  ear %.3f  mouth %.3f  codes %.3f  (%s)  %.2f s"
                heads = (ear_loss, mouth_loss)
                log.info(form, trainer.step, text_loss, *heads, code_loss, detail, pace)
                total, count, began = torch.zeros_like(total), 0, time.monotonic()
        if time.monotonic() - saved > 120 or trainer.step >= arguments.steps:
            trainer.save()
            saved = time.monotonic()


if __name__ == "__main__":
    main()
