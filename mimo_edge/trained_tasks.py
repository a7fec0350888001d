"""Which tasks a checkpoint was trained for: the one place that knows.

Every checkpoint of this architecture computes something for every prompt; asked for what it was
never shown, it says nothing, or something else. Known are the released checkpoints and the demo
model, by name and size. Of all others nothing is known, and everything is tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .bundle.manifest import Manifest
from .errors import BadInputError, NotTrainedError
from .prompt.prompts import Language, capitalized

__all__ = [
    "Ability",
    "check_language",
    "check_trained",
    "doubt_about",
    "hears_one_sentence",
    "hinted_language",
    "is_known",
    "keeps_speech_format",
    "knows_chinese",
    "longest_spoken",
    "spoken_forms",
    "transcribes_by",
]

Ability = Literal[
    "transcribe",
    "speak",
    "speak in a voice",
    "speak in a style",
    "ask",
    "converse",
    "few-shot",
    "continue",
]

_WORDS: Mapping[Ability, str] = {
    "transcribe": "writing down what is said",
    "speak": "speaking a text",
    "speak in a voice": "speaking a text in the voice of a recording",
    "speak in a style": "speaking a text in a style",
    "ask": "questions about a recording",
    "converse": "conversations",
    "few-shot": "learning from examples in the prompt",
    "continue": "going on where a recording ends",
}


@dataclass(frozen=True, kw_only=True)
class _Training:
    """What is known of one checkpoint."""

    name: str
    hidden_size: int
    layers: int
    lacks: Mapping[Ability, str] = field(default_factory=dict)
    """Tasks that it was not trained for, and what to do instead."""
    doubts: Mapping[Ability, str] = field(default_factory=dict)
    """Tasks that it was not trained for and that are tried all the same, and what comes of it."""
    longest_spoken: int | None = None
    """Letters of the longest texts that it was trained to speak; None: nothing is known."""
    plain_words: bool = False
    """Whether the text of its speech is words alone, in lower case, whatever it was given."""
    chinese: bool = True
    """Whether it was trained with instructions in Chinese, too."""
    transcribes_by: str | None = None
    """The only words in which it can be asked for a transcript; None: it understands others."""
    one_sentence: bool = False
    """Whether it was trained with recordings of one sentence each; of several it hears the last."""


_LONGEST_SPOKEN = 400
"""Of checkpoints of which nothing is known: half a minute of speech, as long as the utterances that
models of speech are usually trained with."""
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_BASE = "use a bundle of MiMo-Audio-7B-Base, which was"
_INSTRUCT = "use a bundle of MiMo-Audio-7B-Instruct, which was"
_NO_REQUESTS = (
    "it goes on with what it is given rather than do what it is told; "
    "MiMo-Audio-7B-Instruct was trained for that"
)

_KNOWN = (
    _Training(
        name="MiMo-Audio-Demo",
        hidden_size=256,
        layers=4,
        lacks={
            "speak in a voice": f"leave the voice out (conversations take one), or {_INSTRUCT}",
            "speak in a style": f"leave the style out, or {_INSTRUCT}",
            "few-shot": _BASE,
            "continue": _BASE,
        },
        doubts={"ask": "it may answer what is said in the recording, or write it down"},
        longest_spoken=40,
        plain_words=True,
        chinese=False,
        transcribes_by="Please transcribe this audio file",
        one_sentence=True,
    ),
    _Training(
        name="MiMo-Audio-7B-Instruct",
        hidden_size=4096,
        layers=36,
        lacks={"few-shot": _BASE, "continue": _BASE},
    ),
    _Training(
        name="MiMo-Audio-7B-Base",
        hidden_size=4096,
        layers=36,
        doubts=dict.fromkeys(
            (
                "transcribe",
                "speak",
                "speak in a voice",
                "speak in a style",
                "ask",
                "converse",
            ),
            _NO_REQUESTS,
        ),
    ),
)

_ASR = _Training(
    name="MiMo-V2.5-ASR",
    hidden_size=4096,
    layers=36,
    doubts=dict.fromkeys(
        ("ask", "converse"),
        "it writes down what it hears, whatever it is asked",
    ),
)
"""Told by the prompts of its bundle, whatever that is called."""
_CODES: Mapping[Language, tuple[str, ...]] = {
    "en": ("en", "eng", "english"),
    "zh": ("zh", "zho", "chi", "cmn", "yue", "chinese", "mandarin", "cantonese"),
}
"""First parts of the codes, and names, by which programs call a language."""


def is_known(manifest: Manifest) -> bool:
    """Whether it is known what the bundle's checkpoint was trained for."""
    return _training(manifest) is not None


def check_trained(manifest: Manifest, ability: Ability) -> None:
    """Refuse a task that the bundle's checkpoint is known not to do.

    Raises:
        NotTrainedError: it was not trained for it; says what to do instead.
    """
    training = _training(manifest)
    if training is not None and ability in training.lacks:
        raise NotTrainedError(
            f"{training.name} was not trained for {_WORDS[ability]}; {training.lacks[ability]}."
        )


def doubt_about(manifest: Manifest, ability: Ability) -> str | None:
    """A sentence about a task that the bundle's checkpoint may not do well; None: it does."""
    training = _training(manifest)
    if training is None or ability not in training.doubts:
        return None
    return f"{training.name} was not trained for {_WORDS[ability]}: {training.doubts[ability]}."


def keeps_speech_format(manifest: Manifest) -> bool:
    """Whether the bundle's checkpoint was trained to alternate text and patches by the rule of
    `generation.text_format`, as all known ones were: measured with the demo model, told by the
    reference of the released ones."""
    return is_known(manifest)


def longest_spoken(manifest: Manifest) -> int:
    """Letters of a text that the bundle's checkpoint can be trusted to speak in one answer."""
    training = _training(manifest)
    return (training and training.longest_spoken) or _LONGEST_SPOKEN


def spoken_forms(text: str, manifest: Manifest) -> tuple[str, ...]:
    """How the text of speech that repeats a given text may be written, the likeliest form first."""
    given = capitalized(text)
    plain = " ".join(_WORD.findall(text.lower()))
    training = _training(manifest)
    forms = [plain, given] if training is not None and training.plain_words else [given, plain]
    return tuple(dict.fromkeys([*forms, text]))


def knows_chinese(manifest: Manifest) -> bool:
    """Whether the bundle's checkpoint can be asked in Chinese, as far as is known."""
    training = _training(manifest)
    return training is None or training.chinese


def hears_one_sentence(manifest: Manifest) -> bool:
    """Whether the bundle's checkpoint is known to hear only one sentence at a time."""
    training = _training(manifest)
    return training is not None and training.one_sentence


def check_language(manifest: Manifest, language: Language) -> None:
    """Refuse to write down speech in a language that the bundle's checkpoint is known not to know.

    Raises:
        MimoEdgeError: which it knows instead.
    """
    if language == "zh" and not knows_chinese(manifest):
        raise BadInputError(
            f"{manifest.name} was trained in English only; leave the language out, or give a "
            "bundle of a model that knows Chinese."
        )


def hinted_language(code: str | None, manifest: Manifest) -> Language:
    """The language that a program names, where it always names one: `en`, `zh-CN`, `Chinese`.

    One that the bundle's checkpoint has no words for counts as not named.
    """
    first = (code or "").strip().lower().replace("_", "-").partition("-")[0]
    for language, codes in _CODES.items():
        if first in codes and (language != "zh" or knows_chinese(manifest)):
            return language
    return "auto"


def transcribes_by(manifest: Manifest) -> str | None:
    """The only words in which the bundle's checkpoint can be asked for a transcript; None: none are
    known to be the only ones."""
    training = _training(manifest)
    return training.transcribes_by if training is not None else None


def _training(manifest: Manifest) -> _Training | None:
    """By name and size: whoever trains a small model of the same layout may keep the name."""
    if manifest.prompts == "mimo-v2.5-asr":
        return _ASR
    backbone = manifest.backbone
    for known in _KNOWN:
        same_size = (backbone.hidden_size, backbone.layers) == (known.hidden_size, known.layers)
        if same_size and manifest.name.casefold() == known.name.casefold():
            return known
    return None
