"""The errors that are meant for people: one small tree, whose sentences name value and remedy.

Whoever wants to tell a caller only that it did not work catches `MimoEdgeError`; whoever can do
something about a kind of trouble catches that class. Every other exception type is a bug.
"""

__all__ = [
    "BadBundleError",
    "BadInputError",
    "CannotSpeakError",
    "DeviceError",
    "DoesNotFitError",
    "MimoEdgeError",
    "MissingPackageError",
    "NoMemoryError",
    "NotSoundError",
    "NotTrainedError",
    "OutputError",
    "ServerError",
    "WrongUseError",
]


class MimoEdgeError(Exception):
    """Something the user can mend: one sentence with the value and the remedy.

    The command line prints the message alone and exits with status 1; every
    other exception type is a bug and keeps its traceback.
    """

    about: str | None = None
    """What the remedy turns on, where users of a program may know it by another name than those
    of the library: the command line adds the option's (`commands/remedies.py`)."""

    def __init__(self, sentence: str, *, about: str | None = None) -> None:
        super().__init__(sentence)
        if about is not None:
            self.about = about


class BadInputError(MimoEdgeError):
    """What was given cannot be used: a recording, a text, a number, a name, a saved session."""


class NotSoundError(BadInputError):
    """A file is of no kind that is known to hold sound."""


class DoesNotFitError(MimoEdgeError):
    """Too long: it is more than the model's context, or what a conversation may keep, holds."""


class BadBundleError(MimoEdgeError):
    """A bundle or a checkpoint is damaged, incomplete, foreign or of another version."""


class NoMemoryError(MimoEdgeError):
    """The machine has too little free memory for it, or a limit of the process says so."""


class DeviceError(MimoEdgeError):
    """A device is missing, does not open or got lost: microphone, speaker or GPU."""


class WrongUseError(MimoEdgeError):
    """A program uses something in a way or at a time that it does not allow.

    It is closed or busy, belongs to another process, or is used by two threads at once.
    """


class OutputError(MimoEdgeError):
    """A file or folder cannot be written: a full disk, permissions, something in the way."""


class ServerError(MimoEdgeError):
    """A server cannot be reached, refuses, or does not keep to its protocol."""


class MissingPackageError(MimoEdgeError):
    """What was asked for needs a Python package that is not installed, or another version."""


class CannotSpeakError(MimoEdgeError):
    """The bundle has no speaking half, and what was asked for needs that."""

    def __init__(
        self,
        remedy: str = "ask for an answer in text, or convert the checkpoint again with its "
        "speaking half",
    ) -> None:
        super().__init__(
            "this bundle only listens: it has no patch decoder, audio decoder and vocoder; "
            f"{remedy}."
        )


class NotTrainedError(MimoEdgeError):
    """The checkpoint is known not to do what it was asked for; see `trained_tasks`."""

    about = "anyway"
