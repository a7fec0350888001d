"""What is guessed, where: known text, what was said before, and the turns of text and patches."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_edge.generation.drafting.chance import MOST_ROWS, Chance, row_price, worthwhile
from mimo_edge.generation.drafting.drafts import Drafts
from mimo_edge.generation.drafting.known_text import KnownText
from mimo_edge.generation.drafting.lookup import Lookup
from mimo_edge.generation.drafting.rhythm import Marks, Rhythm

PATCH, SPEECH, TEXT_END, SPEECH_END = 90, 91, 92, 93
MARKS = Marks(patch=PATCH, speech=SPEECH, text_end=TEXT_END, speech_end=SPEECH_END)
TEXT = list(range(1, 13))
"""Twelve ids, that are spoken in runs of 5, 5 and 2 and the end."""


def drafts(*known: list[int], prompt: tuple[int, ...] = (40, SPEECH), price: float = 0.6) -> Drafts:
    return Drafts(np.array(prompt, np.int32), MARKS, known, price=price)


def say(made: Drafts, ids: list[int]) -> tuple[int, int, int]:
    """Let an answer with these ids be made: readings, guesses, and which of them were right."""
    readings = guessed = accepted = place = 0
    while place < len(ids):
        guesses = made.next(MOST_ROWS)
        readings += 1
        guessed += len(guesses)
        for guess in [*guesses, None]:
            made.took(ids[place])
            place += 1
            if place == len(ids) or ids[place - 1] != guess:
                break
            accepted += 1
    return readings, guessed, accepted


def spoken(text: list[int], *, text_run: int = 5, patch_run: int = 5, more: int = 4) -> list[int]:
    """The ids of an answer that speaks a text: runs of it between runs of patches."""
    ids = []
    for start in range(0, len(text), text_run):
        run = text[start : start + text_run]
        if start + text_run >= len(text):
            run = [*run, TEXT_END]
        ids += [*run, *[PATCH] * patch_run]
    return [*ids, *[PATCH] * more, SPEECH_END]


def test_a_known_text_is_guessed_up_to_the_patches() -> None:
    made = drafts(TEXT)
    assert made.next(8) == TEXT[:5]
    assert made.next(2) == TEXT[:2]
    for text_id in TEXT[:5]:
        made.took(text_id)
    assert made.next(8) == []
    for _ in range(4):
        made.took(PATCH)
        assert made.next(8) == []
    made.took(PATCH)
    assert made.next(8) == TEXT[5:10]
    for text_id in [*TEXT[5:10], *[PATCH] * 5]:
        made.took(text_id)
    assert made.next(8) == [*TEXT[10:], TEXT_END]
    for text_id in [*TEXT[10:], TEXT_END, *[PATCH] * 5]:
        made.took(text_id)
        assert made.next(8) != [PATCH]
    assert made.next(8) == []


def test_the_end_belongs_to_the_last_run() -> None:
    assert drafts(TEXT[:5]).next(8) == [*TEXT[:5], TEXT_END]
    assert drafts(TEXT[:3]).next(8) == [*TEXT[:3], TEXT_END]


@pytest.mark.parametrize("length", [1, 4, 5, 6, 12, 60])
def test_readings_of_a_known_text(length: int) -> None:
    """All readings that remain are those of patches."""
    text = [1 + number % 80 for number in range(length)]
    ids = spoken(text)
    readings, guessed, accepted = say(drafts(text), ids)
    assert accepted == guessed == length + 1
    assert readings == len(ids) - accepted


def test_other_lengths_of_runs_are_learned() -> None:
    """Wrong guesses in the first runs only."""
    text = [1 + number % 80 for number in range(90)]
    ids = spoken(text, text_run=3, patch_run=7)
    _, guessed, accepted = say(drafts(text), ids)
    assert accepted > 70
    assert guessed - accepted <= 8


def test_another_form_of_the_text_is_followed() -> None:
    """Of which the first words are the same or not."""
    other = [71, *TEXT[1:]]
    made = drafts(TEXT, other)
    made.took(71)
    assert made.next(8) == TEXT[1:5]
    late = [*TEXT[:3], 71, *TEXT[4:]]
    made = drafts(TEXT, late)
    for text_id in late[:4]:
        made.took(text_id)
    assert made.next(8) == late[4:5]


@pytest.mark.parametrize(
    "said",
    [
        [1, 2, 71, 4, 5, 6],  # another word
        [1, 2, 4, 5, 6],  # a word left out
        [1, 2, 71, 72, 73, 3, 4, 5, 6],  # words put in
        [1, 2, 1, 2, 3, 4, 5, 6],  # begun again
    ],
)
def test_a_lost_place_is_found_again(said: list[int]) -> None:
    known = KnownText([TEXT], SPEECH)
    known.took(SPEECH)
    for text_id in said:
        known.took(text_id)
    assert known.guess(3) == [7, 8, 9]


def test_nothing_is_guessed_before_it_speaks() -> None:
    """It may think first."""
    made = drafts(TEXT, prompt=(40, 41))
    assert made.next(8) == []
    made.took(1)
    assert made.next(8) == []
    made.took(SPEECH)
    assert made.next(8) == TEXT[:5]


def test_what_repeats_itself_is_guessed() -> None:
    """Only once it shows that it does; a prompt that holds it helps."""
    lookup = Lookup([1, 2, 3, 4, 5])
    for text_id in (1, 2, 3):
        lookup.took(text_id)
    assert lookup.guess(4) == [4, 5, 1, 2]
    period = Lookup([7, 8] * 4)
    assert period.guess(5) == [7, 8, 7, 8, 7]
    made = drafts(prompt=(40,))
    ids = [1, 2, 3, 4, 5, 6, 7, 8] * 8
    readings, guessed, accepted = say(made, ids)
    assert guessed - accepted <= 8
    assert readings < len(ids) / 2


def test_a_prompt_counts_as_if_it_had_been_said() -> None:
    ids = np.random.default_rng(3).integers(0, 4, 200).tolist()
    whole, grown = Lookup(ids), Lookup([])
    for text_id in ids:
        grown.took(text_id)
    for text_id in np.random.default_rng(4).integers(0, 4, 50).tolist():
        assert whole.guess(6) == grown.guess(6)
        whole.took(text_id)
        grown.took(text_id)


def test_words_without_repetition_are_not_guessed() -> None:
    ids = np.random.default_rng(0).integers(0, 80, 400).tolist()
    readings, guessed, _ = say(drafts(prompt=(40,)), ids)
    assert readings == 400
    assert guessed == 0


def test_wrong_guesses_end_soon() -> None:
    """A text that is not repeated at all costs a few rows, however long it is."""
    said = np.random.default_rng(1).integers(2, 80, 400).tolist()
    _, guessed, accepted = say(drafts([1] * 400), spoken(said))
    assert guessed <= 16
    assert accepted <= 1


def test_how_many_pay() -> None:
    assert worthwhile(0.95, 0.6) == MOST_ROWS
    assert worthwhile(0.9, 0.6) == 4
    assert worthwhile(0.5, 0.6) == 0
    assert worthwhile(0.5, 0.05) == 4
    assert row_price(2, on_gpu=False) > row_price(8, on_gpu=False) > row_price(8, on_gpu=True)


def test_a_chance_follows_what_happens() -> None:
    chance = Chance(0.9, 10)
    for _ in range(30):
        chance.note(right=False)
    assert chance.value < 0.3
    for _ in range(200):
        chance.note(right=True)
    assert chance.value > 0.9


def test_runs_that_were_begun_in_the_prompt_go_on() -> None:
    rhythm = Rhythm(MARKS)
    for text_id in (SPEECH, 1, 2, 3):
        rhythm.took(text_id)
    assert rhythm.text_ahead == 2
    made = drafts(TEXT, prompt=(SPEECH, 1, 2, 3, 4, 5, *[PATCH] * 5, TEXT_END, PATCH, SPEECH_END))
    assert made.next(8) == []
