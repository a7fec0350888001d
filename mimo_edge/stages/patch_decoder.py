"""The patch decoder: a hidden state of the backbone → the codes of one patch.

Report, section 4 ("delayed generation"); reference: `local_forward`. Codebook r starts
`delays[r]` steps late, so that at every step it sees the coarser codes of its own time:

    step       0  1  2  3  4  5 …
    codebook 0 t0 t1 t2 t3
    codebook 1    t0 t1 t2 t3
    codebook 2       t0 t1 t2 t3
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import CODE_EMBEDDINGS_FILE, HIDDEN_DOWNCAST_FILE, Manifest, PatchConfig
from ..errors import BadBundleError, CannotSpeakError
from ..system.products import product_in_this_thread
from ..system.spare_cores import SpareCores
from .damage import check_numbers
from .graphs.graph import Graph
from .machine.placement import Placement
from .matrices import load_matrix
from .patch_decoder_gguf import GgufSteps
from .patch_steps import PatchSteps
from .sampling import SamplerOptions, sample

__all__ = ["PatchDecoder"]

_Choose = Callable[[int, int, int, NDArray[np.float32]], int]
"""(row, channel, time, logits of the codebook) → code."""
_Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Inputs of the next step [batch, local_dim] → logits of all codebooks [batch, vocabulary]."""


class _Steps(Protocol):
    """What computes the steps of patches; see `PatchSteps`."""

    def begin(self, rows: int) -> AbstractContextManager[_Run]:
        """A function that makes the next step of `rows` new patches."""

    def close(self) -> None:
        """Free it."""


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a bundle's files hold."""

    steps: _Steps
    code_embeddings: NDArray[np.float32]
    """[sum of the codebooks' vocabularies, local_dim]."""
    hidden_downcast: NDArray[np.float32]
    """[local_dim, hidden]."""


class PatchDecoder:
    """One graph or one GGUF, and the two matrices that make its inputs. Holds no patch of its own.

    A bundle that only listens has none of them: whatever decodes raises CannotSpeakError.
    """

    def __init__(self, config: PatchConfig, parts: _Parts | None) -> None:
        self._config = config
        self._parts_if_any = parts
        self._offsets = np.concatenate([[0], np.cumsum(config.vocab_sizes)])

    @classmethod
    def load(
        cls,
        bundle: Path,
        manifest: Manifest,
        placement: Placement,
        spare_cores: SpareCores | None = None,
    ) -> PatchDecoder:
        """Load the graph or the GGUF, as `placement` says, and map the matrices.

        A GGUF makes way for what `spare_cores` knows of.

        Raises:
            MimoEdgeError: something does not load or does not fit the manifest.
        """
        patch, hidden = manifest.patch, manifest.backbone.hidden_size
        if not manifest.speaks:
            return cls(patch, None)
        parts = _Parts(
            steps=_load_steps(bundle, manifest, placement, spare_cores or SpareCores()),
            code_embeddings=load_matrix(
                bundle / CODE_EMBEDDINGS_FILE, (sum(patch.vocab_sizes), patch.local_dim)
            ),
            hidden_downcast=load_matrix(bundle / HIDDEN_DOWNCAST_FILE, (patch.local_dim, hidden)),
        )
        return cls(patch, parts)

    def decode(
        self, hidden: NDArray[np.float32], options: SamplerOptions, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Hidden state float32 [hidden], after the final norm → codes int64 [group, channels]."""
        codes: NDArray[np.int64] = self.decode_all(hidden[None], [options], [rng])[0]
        return codes

    def decode_all(
        self,
        hidden: NDArray[np.float32],
        options: Sequence[SamplerOptions],
        rngs: Sequence[np.random.Generator],
    ) -> NDArray[np.int64]:
        """The next patches of several answers: codes int64 [batch, group, channels].

        `hidden` is float32 [batch, hidden], after the final norm, at least one row. Each row has
        its own options and its own generator, which is asked in the same order in any company.

        What a row's logits have to do with the rows beside it depends on the recipe:

        - fp32: nothing, every bit is the same alone and in any batch.
        - a GGUF: the last bits, and with quantized weights as much as for w8 below.
        - w8, w4, w4c: what has 8 bits (of w4 and w4c the code heads, of w4c some matrices besides)
          is summed in another order for one row than for several, and for the last of an odd
          number than for the others. The last bits then differ, and where the kernel rounds
          activations to 8 bits that grows to the size of the recipe's own error (1 to 2% of the
          largest logit). At one place among as many rows it is the same, whoever is beside it.
        - int8: activations of all rows are rounded with one scale, so that each row depends on
          the others, by as much as the recipe's own error.
        """
        return self._sample(
            product_in_this_thread(hidden, self._parts.hidden_downcast), options, rngs
        )

    def decode_from(
        self, x: NDArray[np.float32], options: SamplerOptions, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Input of step 0, float32 [local_dim] → codes int64 [group, channels]."""
        codes: NDArray[np.int64] = self._sample(x[None], [options], [rng])[0]
        return codes

    def logits_along(
        self, hidden: NDArray[np.float32], codes: NDArray[np.int64]
    ) -> list[NDArray[np.float32]]:
        """Logits of every code of a given patch [group, channels], in the order of decoding.

        Each is [vocabulary of its codebook], the empty id included.
        """
        seen: list[NDArray[np.float32]] = []

        def follow(_: int, channel: int, time: int, logits: NDArray[np.float32]) -> int:
            seen.append(logits.copy())
            return int(codes[time, channel])

        self._run(product_in_this_thread(hidden[None], self._parts.hidden_downcast), follow)
        return seen

    def _sample(
        self,
        x: NDArray[np.float32],
        options: Sequence[SamplerOptions],
        rngs: Sequence[np.random.Generator],
    ) -> NDArray[np.int64]:
        never = [(empty,) for empty in self._config.empty_ids]

        def draw(row: int, channel: int, _: int, logits: NDArray[np.float32]) -> int:
            return sample(logits, options[row], rngs[row], never=never[channel])

        return self._run(x, draw)

    def _run(self, x: NDArray[np.float32], choose: _Choose) -> NDArray[np.int64]:
        """Codes [batch, group, channels] of patches whose step 0 has the input `x` [batch, dim]."""
        with self._parts.steps.begin(len(x)) as run:
            return self._decode(x, run, choose)

    def _decode(self, x: NDArray[np.float32], run: _Run, choose: _Choose) -> NDArray[np.int64]:
        config, embeddings = self._config, self._parts.code_embeddings
        codes = np.empty((len(x), config.group_size, config.channels), dtype=np.int64)
        for step in range(config.decode_steps):
            logits = run(x)
            check_numbers("patch decoder", logits)
            if len(logits) != len(x):
                raise BadBundleError(
                    f"the patch decoder answers {len(logits)} of {len(x)} patches: the bundle is "
                    "damaged; copy it again or convert again."
                )
            written = [  # codebooks that have a code at this step, and the time it is of
                (channel, step - delay)
                for channel, delay in enumerate(config.delays)
                if delay <= step < delay + config.group_size
            ]
            following = []
            for row, patch in enumerate(codes):
                chosen = []
                for channel, time in written:
                    start, end = self._offsets[channel : channel + 2]
                    code = choose(row, channel, time, logits[row, start:end])
                    patch[time, channel] = code
                    chosen.append(start + code)
                following.append(embeddings[chosen].sum(axis=0))
            x = np.stack(following)
        return codes

    def close(self) -> None:
        """Free the graph or the GGUF."""
        if self._parts_if_any is not None:
            self._parts_if_any.steps.close()

    @property
    def _parts(self) -> _Parts:
        if self._parts_if_any is None:
            raise CannotSpeakError
        return self._parts_if_any


def _load_steps(
    bundle: Path, manifest: Manifest, placement: Placement, spare_cores: SpareCores
) -> _Steps:
    if placement.form == "gguf":
        return GgufSteps.load(bundle, manifest, placement, spare_cores)
    graph = Graph.load(bundle, "patch_decoder", manifest, placement)
    return PatchSteps(graph, sum(manifest.patch.vocab_sizes))
