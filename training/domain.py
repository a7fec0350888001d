"""What the demo model knows: its words, its questions and their answers.

Every sentence is lower-case words separated by single spaces. Nothing here is random
except where a `random.Random` is passed in.
"""

from __future__ import annotations

import hashlib
import random

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen"
).split()
COLORS = {
    "sky": "blue",
    "sea": "blue",
    "grass": "green",
    "leaf": "green",
    "sun": "yellow",
    "banana": "yellow",
    "lemon": "yellow",
    "snow": "white",
    "milk": "white",
    "night": "black",
    "coal": "black",
    "apple": "red",
    "cherry": "red",
    "fire": "red",
    "wood": "brown",
}
PAIRS = (
    "hot cold, big small, up down, left right, day night, black white, fast slow, happy sad, "
    "old new, good bad, high low, early late, yes no, hard soft, light dark, near far, open closed"
)
OPPOSITES: dict[str, str] = {}
for _pair in PAIRS.split(", "):
    _one, _other = _pair.split()
    OPPOSITES.update({_one: _other, _other: _one})
NOUNS = (
    "river moon stone garden window table bread water house tree flower bird fish horse dog cat "
    "mountain star door paper music cloud"
).split()
NOT_UNDERSTOOD = "sorry i did not understand"
MEMORY_QUESTION = "what did i just say"
SMALL_TALK = {
    "hello": "hello how can i help you",
    "good morning": "good morning how can i help you",
    "good night": "good night",
    "goodbye": "goodbye",
    "thank you": "you are welcome",
    "how are you": "i am fine thank you",
    "what is your name": "my name is echo",
    "can you help": "yes i can help you",
}


def build_facts() -> dict[str, str]:
    """Every question with a fixed answer."""
    facts = dict(SMALL_TALK)
    for a in range(10):
        for b in range(10):
            sum_ = f"{NUMBERS[a]} plus {NUMBERS[b]}"
            facts[f"what is {sum_}"] = f"{sum_} is {NUMBERS[a + b]}"
            if a >= b:
                rest = f"{NUMBERS[a]} minus {NUMBERS[b]}"
                facts[f"what is {rest}"] = f"{rest} is {NUMBERS[a - b]}"
    for thing, color in COLORS.items():
        facts[f"what color is the {thing}"] = f"the {thing} is {color}"
    for word, other in OPPOSITES.items():
        facts[f"what is the opposite of {word}"] = f"the opposite of {word} is {other}"
    for a in range(9):
        for b in range(a + 1, min(a + 7, 10)):
            facts[f"count from {NUMBERS[a]} to {NUMBERS[b]}"] = " ".join(NUMBERS[a : b + 1])
    return facts


FACTS = build_facts()
FIXED = f"{NOT_UNDERSTOOD} {MEMORY_QUESTION} please say said"
WORDS = sorted(
    {
        word
        for text in (*FACTS, *FACTS.values(), *NUMBERS, *NOUNS, *OPPOSITES, *COLORS.values(), FIXED)
        for word in text.split()
    }
)
POOL = [word for word in WORDS if word not in {"to", "i", "a"}]
"""Words of random sequences: not "to", which sounds like "two"."""


def digest(text: str) -> int:
    """A hash that is the same on every machine."""
    return int.from_bytes(hashlib.md5(text.encode()).digest()[:4], "big")


def held_out_sequence(text: str) -> bool:
    """A tenth of the word sequences, in every voice and task."""
    return digest(f"sequence {text}") % 10 == 0


def held_out_rendering(text: str, voice: str, rendering: int) -> bool:
    """A tenth of the renderings of facts."""
    return digest(f"rendering {text} {voice} {rendering}") % 10 == 0


def sequence(rng: random.Random, least: int, most: int) -> str:
    """A random word sequence; numbers and nouns come a little more often."""
    length = rng.randint(least, most)
    return " ".join(
        rng.choice(POOL if rng.random() < 0.75 else NUMBERS + NOUNS) for _ in range(length)
    )


def answer(question: str, before: str = "") -> str:
    """What the model should reply; `before` is what the user said one turn earlier."""
    if question == MEMORY_QUESTION:
        return f"you said {before}" if before else NOT_UNDERSTOOD
    if question.startswith("please say "):
        return question.removeprefix("please say ")
    return FACTS.get(question, NOT_UNDERSTOOD)
