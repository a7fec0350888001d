"""The patch decoder: a hidden state of the backbone → the codes of one patch.

Report, section 4 ("delayed generation"); reference: `local_forward`. Codebook r starts
`delays[r]` steps late, so that at every step it sees the coarser codes of its own time:

    step       0  1  2  3  4  5 …
    codebook 0 t0 t1 t2 t3
    codebook 1    t0 t1 t2 t3
    codebook 2       t0 t1 t2 t3
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import CODE_EMBEDDINGS_FILE, HIDDEN_DOWNCAST_FILE, Manifest, PatchConfig
from ..bundle.untrusted_arrays import UnusableArrayError, map_matrix
from ..errors import BadBundleError
from .damage import check_numbers
from .graphs import Graph
from .sampling import SamplerOptions, sample

__all__ = ["PatchDecoder"]


class PatchDecoder:
    """One graph and the two matrices that make its inputs. Holds no patch of its own."""

    def __init__(
        self,
        graph: Graph,
        config: PatchConfig,
        code_embeddings: NDArray[np.float32],
        hidden_downcast: NDArray[np.float32],
    ) -> None:
        self._graph = graph
        self._config = config
        self._code_embeddings = code_embeddings
        self._hidden_downcast = hidden_downcast
        self._offsets = np.concatenate([[0], np.cumsum(config.vocab_sizes)])

    @classmethod
    def load(cls, bundle: Path, manifest: Manifest, *, threads: int) -> PatchDecoder:
        """Load the graph and map the matrices.

        Raises:
            MimoEdgeError: something does not load or does not fit the manifest.
        """
        patch = manifest.patch
        return cls(
            Graph.load(bundle, "patch_decoder", manifest, threads=threads),
            patch,
            _matrix(bundle / CODE_EMBEDDINGS_FILE, (sum(patch.vocab_sizes), patch.local_dim)),
            _matrix(
                bundle / HIDDEN_DOWNCAST_FILE, (patch.local_dim, manifest.backbone.hidden_size)
            ),
        )

    def decode(
        self, hidden: NDArray[np.float32], options: SamplerOptions, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Hidden state float32 [hidden], after the final norm → codes int64 [group, channels]."""
        return self.decode_from(self._hidden_downcast @ hidden, options, rng)

    def decode_from(
        self, x: NDArray[np.float32], options: SamplerOptions, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """The same from the input of step 0, float32 [local_dim]."""

        def draw(channel: int, _: int, logits: NDArray[np.float32]) -> int:
            return sample(logits, options, rng, never=(self._config.empty_ids[channel],))

        return self._run(x, draw)

    def logits_along(
        self, hidden: NDArray[np.float32], codes: NDArray[np.int64]
    ) -> list[NDArray[np.float32]]:
        """Logits of every code of a given patch [group, channels], in the order of decoding.

        Each is [vocabulary of its codebook], the empty id included.
        """
        seen: list[NDArray[np.float32]] = []

        def follow(channel: int, time: int, logits: NDArray[np.float32]) -> int:
            seen.append(logits.copy())
            return int(codes[time, channel])

        self._run(self._hidden_downcast @ hidden, follow)
        return seen

    def _run(
        self, x: NDArray[np.float32], choose: Callable[[int, int, NDArray[np.float32]], int]
    ) -> NDArray[np.int64]:
        """All steps of a patch; `choose` makes a code of (channel, time, logits)."""
        config = self._config
        codes = np.empty((config.group_size, config.channels), dtype=np.int64)
        state = self._graph.fresh_state(["x"])
        for step in range(config.decode_steps):
            feeds = {"x": np.ascontiguousarray(x, dtype=np.float32).reshape(1, 1, -1)}
            logits = self._graph.run_stateful(feeds, state, "logits")[0]
            check_numbers("patch decoder", logits)
            rows = []
            for channel, delay in enumerate(config.delays):
                if delay <= step < delay + config.group_size:
                    start, end = self._offsets[channel : channel + 2]
                    code = choose(channel, step - delay, logits[start:end])
                    codes[step - delay, channel] = code
                    rows.append(start + code)
            x = self._code_embeddings[rows].sum(axis=0)
        return codes

    def close(self) -> None:
        """Free the graph."""
        self._graph.close()


def _matrix(path: Path, shape: tuple[int, int]) -> NDArray[np.float32]:
    try:
        return map_matrix(path, shape)
    except OSError as error:
        raise BadBundleError(
            f"{path} does not load ({error.strerror or error}); copy the bundle again."
        ) from error
    except UnusableArrayError as error:
        raise BadBundleError(
            f"{path} does not load: {error}; it is damaged, or it is of another bundle."
        ) from error
