"""Recordings in messages. They come along with every request of a conversation, and are heard
once.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections import OrderedDict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...errors import MimoEdgeError
from ...model import MimoAudio
from ..options import Limits
from ..requests.api_errors import ApiError, api_error
from ..requests.uploads import read_sound

__all__ = ["Recordings"]

Patches = NDArray[np.int64]
_MOST_PATCHES = 40_000
"""Of all recordings that are remembered: 107 minutes, 10 MB in the released model."""


class Recordings:
    """What the model got of the recordings of late, by the hash of their files. For threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: OrderedDict[bytes, Patches] = OrderedDict()
        self._lock = threading.Lock()

    def patches(self, model: MimoAudio, data: str, param: str) -> Patches:
        """What the model gets of a file in base64: int64 [patches, group, channels].

        Raises:
            ApiError: it is no base64 or no sound, silent, or too long; `param` is named then.
        """
        file = _decoded(data, param)
        key = hashlib.sha256(file).digest()
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        try:
            samples = read_sound(file, model.sample_rate, self._limits_of(model), param=param)
            patches = model.listen(samples)
        except MimoEdgeError as error:
            raise api_error(error, param) from error
        with self._lock:
            self._known[key] = patches
            while sum(map(len, self._known.values())) > _MOST_PATCHES and len(self._known) > 1:
                self._known.popitem(last=False)
        return patches

    def _limits_of(self, model: MimoAudio) -> Limits:
        """Nothing is decoded that is much longer than what the model can hear at once."""
        audio, patch = model.manifest.audio, model.manifest.patch
        patch_s = patch.group_size * audio.samples_per_step / audio.sample_rate
        # Twice: pauses are shortened before it is measured.
        longest = 2 * model.manifest.backbone.max_positions * patch_s
        return replace(self._limits, upload_seconds=min(self._limits.upload_seconds, longest))


def _decoded(data: str, param: str) -> bytes:
    if data[:5].lower() == "data:":
        head, _, data = data.partition(",")
        if not head.endswith(";base64"):
            raise _wrong(param, f"it is {head[:60]!r}, and only base64 is read in a data URL.")
    try:
        # Line breaks are usual in base64, and RFC 2045 has them.
        return base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _wrong(param, f"it is no base64 ({error}); encode the sound file's bytes.") from error


def _wrong(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param}: {why}", code="invalid_value", param=param)
