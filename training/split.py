"""Which renderings training must not see."""

from __future__ import annotations

from training import domain
from training.data import Utterance


def is_held_out(utterance: Utterance) -> bool:
    """Sequences and repeats by their words, facts by their renderings."""
    text = utterance["text"]
    if utterance["kind"] == "fact":
        return domain.held_out_rendering(text, utterance["voice"], utterance["rendering"])
    if utterance["kind"] == "strange":
        return domain.held_out_sequence(text)
    text = text.removeprefix("you said ").removeprefix("please say ")
    known = text in domain.FACTS or text in domain.FACTS.values()
    return not known and text != domain.NOT_UNDERSTOOD and domain.held_out_sequence(text)
