"""What damaged weights make of good inputs: numbers that are none, and codes outside their books.

Each stage looks at what it gives once, so that the first one that is damaged is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadBundleError

__all__ = ["DamagedWeightsError", "check_codes", "check_numbers", "check_scores"]


class DamagedWeightsError(BadBundleError):
    """A stage computes what no sound weights can."""

    def __init__(self, stage: str, fault: str) -> None:
        """`stage` computes `fault`."""
        self.fault = f"the {stage} computes {fault}"
        """Without the remedy, which is another one while a model is converted."""
        super().__init__(
            f"{self.fault}: the weights are damaged; copy the bundle again or convert again."
        )


def check_numbers(stage: str, values: NDArray[Any]) -> None:
    """Refuse NaN and infinity.

    Raises:
        DamagedWeightsError: there is one.
    """
    if not np.isfinite(values).all():
        raise DamagedWeightsError(stage, "what is not a number")


def check_scores(stage: str, logits: NDArray[np.float32]) -> None:
    """Refuse logits that nothing can be sampled from; single ones may be minus infinity.

    Raises:
        DamagedWeightsError: one is NaN or infinite, or none is finite.
    """
    if not np.isfinite(logits.max()):
        raise DamagedWeightsError(stage, "what is not a number")


def check_codes(stage: str, codes: NDArray[np.int64], sizes: Sequence[int]) -> None:
    """Refuse codes [..., codebooks] outside codebooks of these sizes.

    Raises:
        DamagedWeightsError: one is.
    """
    wrong = codes[(codes < 0) | (codes >= np.array(sizes))]
    if len(wrong):
        raise DamagedWeightsError(stage, f"the code {wrong[0]}, which does not exist")
