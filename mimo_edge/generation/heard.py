"""What was heard of a spoken answer that was interrupted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..prompt.positions import Layout, Positions, concatenate
from ..prompt.text_tokenizer import TextTokenizer
from .speech import SpeechSpan

__all__ = ["Heard", "beginning", "heard_part"]

_PATCHES_PER_TOKEN = 2.0
"""How many patches of 160 ms a text token takes to say, about: 3 tokens a second."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """The part of an answer that reached the listener."""

    positions: Positions
    """The answer as the model is to remember it."""
    text: str
    """What was said until then; an estimate, see `heard_part`."""
    patches: int
    """Whole patches that were played."""
    complete: bool
    """Whether that was all of the answer."""


def heard_part(
    answer: Positions, patches: int, *, finished: bool, layout: Layout, tokenizer: TextTokenizer
) -> Heard:
    """Cut an answer behind its first `patches` patches, all of which were heard.

    Text runs ahead of the sound: in five positions there are five tokens or 0.8 s of speech,
    which is two or three tokens. Two cuts follow from that. The model remembers the text
    positions before its last patch, although some were not said yet: that is how a spoken
    answer looks in the middle, and the KV cache holds it. `<|eot|>` then ends the text, as it
    does in every answer of the released format. The text that is returned is as long a part of
    the answer's text as the patches are of all its patches, cut between words. Of an answer
    whose text did not come to its end (`<|eot|>`, or `finished`) the patches are taken as two
    for each token if there were fewer.
    """
    is_patch = SpeechSpan(tokenizer, opened=True).mask(answer.text_ids)
    total = int(is_patch.sum())
    marks = [tokenizer.id(name) for name in ("<|eot|>", "<|sostm|>", "<|eostm|>")]
    text_ended = finished or marks[0] in answer.text_ids
    ids = answer.text_ids[~np.isin(answer.text_ids, [layout.empty_id, *marks])].tolist()
    text = tokenizer.decode(ids).strip()
    if patches >= total and text_ended:
        return Heard(positions=answer, text=text, patches=total, complete=True)
    patches = min(patches, total)
    end = int(np.flatnonzero(is_patch)[patches - 1]) + 1 if patches else 0
    kept = answer[:end]
    if marks[0] not in kept.text_ids:
        kept = concatenate([kept, layout.text([marks[0]])])
    expected = total if text_ended else max(total, round(_PATCHES_PER_TOKEN * len(ids)))
    said = beginning(text, patches / expected) if expected else ""
    return Heard(positions=kept, text=said, patches=patches, complete=False)


def beginning(text: str, share: float) -> str:
    """A share of the characters, up to the last whole word; writing without blanks anywhere."""
    length = round(share * len(text))
    part = text[:length]
    if length < len(text) and not text[length].isspace() and " " in text:
        part = part.rpartition(" ")[0]
    return part.strip()
