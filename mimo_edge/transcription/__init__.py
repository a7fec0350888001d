"""Recordings of any length, written down part by part.

`writing_down` is the one road, for the command, for programs and for the server: the recording is
cut in its pauses, several parts are answered at once (`side_by_side`), and what comes of each is a
`Segment` with its times (`segments`). `formats` makes a text or subtitles of them, `unfinished`
keeps them in a file until all are there.
"""

from .formats import FORMATS, srt, text, verbose, vtt
from .segments import Segment, Transcript
from .unfinished import Unfinished
from .writing_down import AUTOMATIC, positions_for, transcript_of, write_down

__all__ = [
    "AUTOMATIC",
    "FORMATS",
    "Segment",
    "Transcript",
    "Unfinished",
    "positions_for",
    "srt",
    "text",
    "transcript_of",
    "verbose",
    "vtt",
    "write_down",
]
