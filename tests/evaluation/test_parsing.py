"""Which choice an answer names."""

from __future__ import annotations

import pytest

from mimo_edge.evaluation.parsing import (
    choice_in,
    closed_answer,
    first_answer,
    letter_in,
    matches,
    mmsu_letter,
    option_letter,
)


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("Option B.", "B"),
        ("the answer is option c", "C"),
        (" option a, because option b is wrong", "A"),
        ("optional", None),
        ("B", None),
        ("", None),
    ],
)
def test_few_shot_answers_name_an_option(text: str, letter: str | None) -> None:
    assert option_letter(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("C) the moon", "C"),
        ("The answer is D.", "D"),
        ("The correct answer is: **A**", "A"),
        ("I would choose option c, the last but one.", "C"),
        ("It is (B).", "B"),
        ("Option A: it rains.", "A"),
        ("A dog barks.", None),
        ("The answer is a dog.", "A"),  # as in VoiceBench, where it counts as one, too
        ("I do not know.", None),
        ("", None),
    ],
)
def test_free_answers_name_a_letter(text: str, letter: str | None) -> None:
    assert letter_in(text) == letter


def test_an_mmsu_answer_without_a_letter_is_none_and_not_that_before() -> None:
    """The public scorer keeps the prediction of the record before for an empty answer."""
    answers = ["B", "", "C. rain", "None", "(D)", "rain"]
    assert [mmsu_letter(answer) for answer in answers] == ["B", None, "C", None, "D", None]


def test_what_an_answer_says_is_taken_out_of_it() -> None:
    assert first_answer("Let me see.\nThe correct answer is: rain.") == "rain"
    assert first_answer("It could be wind.\nAnswer: **rain**") == "rain"
    assert first_answer("I think of **rain** here") == "rain"
    assert first_answer('\n"Rain"\nbecause of the sound') == "Rain"
    assert first_answer("Answer:\n\nrain\nwind") == "rain"
    assert first_answer("Let me see.\nThe correct choice is\n\n**rain**\nthen") == "rain"
    assert first_answer("") == ""


def test_a_choice_matches_if_all_its_words_are_there_and_none_of_others() -> None:
    choices = ("a dog barks", "a cat", "two dogs")
    assert matches("a dog barks", "A dog barks!", choices)
    assert matches("a cat", "It is a cat.", choices)
    assert not matches("a cat", "a cat, or a dog", choices)
    assert not matches("a cat", "", choices)
    assert choice_in("a cat", choices) == "a cat"
    assert choice_in("a bird", choices) is None


def test_numbers_that_stand_in_the_question_do_not_mislead() -> None:
    """The words are compared as sets: "five" is in every one of these answers."""
    choices = ("zero plus five is five", "zero plus five is nine", "zero plus five is two")
    for choice in choices:
        assert choice_in(choice, choices) == choice


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("Yes, you return to the start.", "No", "yes"),
        ("First I thought yes. So the answer is no.", "no", "no"),
        ("The argument is not valid.", "valid", "invalid"),
        ("It is deductively valid.", "invalid", "valid"),
        ("Two apples and three pears: five fruits.", "5", "5"),
        ("You have twenty-one.", "21", "21"),
        ("The answer is 7, of 12 things.", "7", "7"),
        ("I cannot tell.", "3", None),
    ],
)
def test_closed_answers_need_no_judge(text: str, expected: str, found: str | None) -> None:
    assert closed_answer(text, expected) == found
