"""The library says what to do in its own terms; the command line names its option."""

from __future__ import annotations

from mimo_edge.commands.remedies import with_option
from mimo_edge.devices.portaudio import DeviceLost
from mimo_edge.errors import BadInputError, NotTrainedError, OutputError


def test_the_option_stands_behind_the_sentence() -> None:
    assert with_option(NotTrainedError("not trained.")).endswith(
        "(--anyway tries it all the same)."
    )
    assert with_option(OutputError("it exists.", about="replace")) == "it exists (--force)."
    assert "(--list-devices)." in with_option(DeviceLost("it is gone.", about="device"))


def test_other_sentences_stay_as_they_are() -> None:
    assert with_option(BadInputError("too loud.")) == "too loud."
    assert with_option(BadInputError("too loud.", about="what no option is for")) == "too loud."
