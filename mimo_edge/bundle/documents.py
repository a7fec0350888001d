"""Texts about a model that lie in its bundle: its own card, its checkpoints' licences and cards.

The names are fixed. They are the only files beside a bundle's own that are copied with it and
replaced with it, so that nobody's file is touched by accident.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["CARD", "COMPANIONS", "DOCUMENTS", "LEGAL_TEXTS", "OWN_CARD_MARK", "has_own_card"]

CARD = "README.md"
"""The card of the bundle itself. People edit theirs, so the manifest states no hash of it."""
LEGAL_TEXTS = ("LICENSE", "LICENSE.md", "LICENSE.txt", "NOTICE", "NOTICE.md", "NOTICE.txt")
"""What licences are called in the repositories of models."""
DOCUMENTS = (
    *LEGAL_TEXTS,
    "README-model.md",
    *(f"tokenizer-{name}" for name in LEGAL_TEXTS),
    "README-tokenizer.md",
)
"""Names under which a bundle keeps what came with its two checkpoints, listed in the manifest."""
COMPANIONS = (CARD, *DOCUMENTS)
"""Texts that may lie in a bundle, whether its manifest lists them or somebody put them there."""

OWN_CARD_MARK = "<!-- written by mimo_edge -->"
"""A line of a card that a conversion wrote, and may replace."""
_LONGEST_CARD = 1 << 20


def has_own_card(folder: Path) -> bool:
    """Whether the card in the folder was written by a conversion, and not by a person.

    Raises:
        OSError: it cannot be read.
    """
    path = folder / CARD
    if not path.is_file() or path.stat().st_size > _LONGEST_CARD:
        return False
    return OWN_CARD_MARK.encode() in path.read_bytes()
