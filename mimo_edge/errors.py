"""The exception types whose messages are meant to be read by a person."""

__all__ = ["MimoEdgeError", "NotTrainedError"]


class MimoEdgeError(Exception):
    """Something the user can mend: one sentence with the value and the remedy.

    The command line prints the message alone and exits with status 1; every
    other exception type is a bug and keeps its traceback.
    """


class NotTrainedError(MimoEdgeError):
    """The checkpoint is known not to do what it was asked for; see `trained_tasks`."""
