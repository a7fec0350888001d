"""Sound in and out.

In: `source` opens what a caller gives, `containers` finds the files in it (`ogg`, `mp3`),
`decoding` and `media` decode them, `arrays` takes samples, `mixing` makes one channel of several,
`sound` puts it together, block by block, and `reading` makes one array of it. Then `pauses`,
`timeline` (when what is left of them was), `quiet` (where to cut), `survey` (all three for long
recordings), `mel` and `mel_stream`; `voice_activity` says where somebody speaks.
Out: `writing`.
"""

from .mel import MEL_BLOCK, log_mel, mel_filters, mel_frames
from .mixing import Mixer
from .pauses import kept_stretches, shorten_pauses
from .quiet import split_at_quiet
from .reading import (
    LONGEST_S,
    AudioInput,
    Recording,
    Stated,
    check_length,
    check_recording,
    read_at,
    read_audio,
    read_recording,
    stated_by_header,
)
from .resampling import resample
from .survey import SurveyedSound, surveyed
from .timeline import Timeline
from .writing import AUDIO_ENDINGS, check_audio_name, encode_audio, write_audio

__all__ = [
    "AUDIO_ENDINGS",
    "LONGEST_S",
    "MEL_BLOCK",
    "AudioInput",
    "Mixer",
    "Recording",
    "Stated",
    "SurveyedSound",
    "Timeline",
    "check_audio_name",
    "check_length",
    "check_recording",
    "encode_audio",
    "kept_stretches",
    "log_mel",
    "mel_filters",
    "mel_frames",
    "read_at",
    "read_audio",
    "read_recording",
    "resample",
    "shorten_pauses",
    "split_at_quiet",
    "stated_by_header",
    "surveyed",
    "write_audio",
]
