"""On a Vulkan device the backbone computes the reference's numbers as closely as on a processor."""

from __future__ import annotations

import pytest

from tests.golden.test_language_model import (
    cache,
    prompt,
    test_greedy,
    test_hidden,
    test_logits,
)

__all__ = ["cache", "prompt", "test_greedy", "test_hidden", "test_logits"]

pytestmark = pytest.mark.vulkan
