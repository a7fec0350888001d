"""Sound in and out: files, arrays, resampling, log-mel."""

from .mel import MEL_BLOCK, log_mel, mel_filters, mel_frames
from .quiet import split_at_quiet
from .reading import AudioInput, check_length, read_audio
from .resampling import resample
from .writing import AUDIO_ENDINGS, check_audio_name, encode_audio, write_audio

__all__ = [
    "AUDIO_ENDINGS",
    "MEL_BLOCK",
    "AudioInput",
    "check_audio_name",
    "check_length",
    "encode_audio",
    "log_mel",
    "mel_filters",
    "mel_frames",
    "read_audio",
    "resample",
    "split_at_quiet",
    "write_audio",
]
