"""The voices in which the model can answer: recordings in a folder, one file each.

Servers may share the folder: each looks at it whenever it is asked. Names are labels for people;
what the files are called are identifiers that the server makes.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from ...atomic import is_disk_full
from ...audio import AudioInput
from ...errors import BadInputError, OutputError
from ...model import MimoAudio
from ..requests.api_errors import ApiError
from .file import LONGEST_CONSENT, LONGEST_NAME, VoiceFile, VoiceHead, printable, tokenizer_of
from .sample import clean_sample

__all__ = ["DEFAULT", "Voice", "VoiceLibrary", "voice_of"]

DEFAULT = "default"
"""Identifier of the voice that the model has by itself."""

Patches = NDArray[np.int64]
_ID = re.compile(r"voice_[0-9a-f]{24}")
_MOST_FILES = 2_000
"""Files in the folder that are looked at."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One voice of the library."""

    id: str
    name: str
    created: float
    """Seconds since 1970."""
    seconds: float
    """Of the recording that is kept."""


@dataclass(frozen=True)
class _Stamp:
    """Tells whether a file was replaced."""

    changed: int
    size: int


class VoiceLibrary:
    """Voices in a folder. For several threads; every method reads or writes files."""

    def __init__(self, folder: Path | None = None, *, most: int = 100) -> None:
        """At most so many voices, in `folder` or in the user's data folder; it may be missing."""
        self.folder = folder or platformdirs.user_data_path("mimo_edge", appauthor=False) / "voices"
        self._most = most
        self._lock = threading.Lock()
        self._heads: dict[Path, tuple[_Stamp, VoiceHead | None]] = {}
        self._patches: dict[tuple[Path, _Stamp, str], Patches] = {}

    def all(self) -> list[Voice]:
        """Every voice, the oldest first; what cannot be read is left out, with a line in the log.

        The model's own voice is not among them.
        """
        with self._lock:
            heads = {path: self._head(path, stamp) for path, stamp in self._files().items()}
            self._heads = {path: seen for path, seen in self._heads.items() if path in heads}
        voices = [_voice(path, head) for path, head in heads.items() if head is not None]
        return sorted(voices, key=lambda voice: (voice.created, voice.id))

    def get(self, identifier: str) -> Voice | None:
        """The voice with this identifier."""
        return next((voice for voice in self.all() if voice.id == identifier), None)

    def find(self, model: MimoAudio, wanted: str | None) -> Patches | None:
        """The voice with this identifier, or else with this name, as the model takes it.

        Returns:
            Patches int64 [patches, group, channels] for `Speak`, `Session` and so on; None is the
            model's own voice, also for names that nobody knows, as clients send those of others.

        Raises:
            MimoEdgeError: a voice of another bundle does not fit this model's context.
        """
        voice = self.named(wanted)
        return None if voice is None else self._load(voice, model)

    def named(self, wanted: str | None) -> Voice | None:
        """The voice with this identifier, or else with this name, the oldest if there are more."""
        return None if wanted is None or wanted == DEFAULT else voice_of(self.all(), wanted)

    def add(self, model: MimoAudio, audio: AudioInput, *, name: str, consent: str) -> Voice:
        """Keep a recording of a voice; it is checked, trimmed and encoded here, once.

        Raises:
            MimoEdgeError: there is not enough voice in it, or it cannot be read.
            ApiError: the name is none or taken, nobody consented, there are too many voices, or
                the disk is full.
        """
        name, consent = _checked_name(name), _checked_consent(consent)
        with self._lock:
            self._check_new(name)
        samples = clean_sample(audio, model.sample_rate)
        patches = model.listen(samples)
        head = VoiceHead(
            name=name,
            consent=consent,
            created=time.time(),
            seconds=round(len(samples) / model.sample_rate, 3),
            rate=model.sample_rate,
            tokenizer=tokenizer_of(model.manifest),
        )
        integers = np.round(samples * (2**15 - 1)).astype(np.int16)
        file = VoiceFile(head=head, samples=integers, patches=patches)
        path = self.folder / f"voice_{secrets.token_hex(12)}.npz"
        with self._lock:
            self._check_new(name)  # another request may have taken it meanwhile
            self._write(file, path)
        return _voice(path, head)

    def remove(self, identifier: str) -> bool:
        """Delete a voice; whether there was one.

        Raises:
            ApiError: the file cannot be deleted.
        """
        if _ID.fullmatch(identifier) is None:
            return False
        path = self.folder / f"{identifier}.npz"
        with self._lock:
            self._heads.pop(path, None)
            for key in [key for key in self._patches if key[0] == path]:
                del self._patches[key]
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                return False
            except OSError as error:
                raise ApiError(
                    500,
                    f"the voice cannot be deleted ({error.strerror}); see who owns the folder of "
                    "the voice library.",
                ) from error
        return True

    def _files(self) -> dict[Path, _Stamp]:
        """What may be voices."""
        found: dict[Path, _Stamp] = {}
        try:
            for path in self.folder.iterdir():
                if path.suffix == ".npz" and _ID.fullmatch(path.stem):
                    stamp = _stamp(path)
                    if stamp is not None:
                        found[path] = stamp
                if len(found) == _MOST_FILES:
                    _log.warning("the voice library holds more than %d files", _MOST_FILES)
                    break
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            _log.warning("the voice library cannot be read: %s", error.strerror)
        return found

    def _head(self, path: Path, stamp: _Stamp) -> VoiceHead | None:
        """What a file says of itself; None if it is damaged, which is logged once."""
        seen = self._heads.get(path)
        if seen is not None and seen[0] == stamp:
            return seen[1]
        head = None
        try:
            head = VoiceFile.read_head(path)
        except ValueError as error:
            _log.warning("%s is left out: it is no voice (%s)", path.name, error)
        self._heads[path] = (stamp, head)
        return head

    def _load(self, voice: Voice, model: MimoAudio) -> Patches | None:
        path = self.folder / f"{voice.id}.npz"
        stamp = _stamp(path)
        if stamp is None:  # deleted just now
            return None
        key = (path, stamp, tokenizer_of(model.manifest))
        with self._lock:
            known = self._patches.get(key)
        if known is not None:
            return known
        try:
            patches = _patches(VoiceFile.read(path, model.manifest), model)
        except ValueError as error:
            _log.warning("%s is not used: it is no voice (%s)", path.name, error)
            return None
        with self._lock:
            while len(self._patches) >= self._most:
                del self._patches[next(iter(self._patches))]
            self._patches[key] = patches
        return patches

    def _check_new(self, name: str) -> None:
        heads = [self._head(path, stamp) for path, stamp in self._files().items()]
        if len(heads) >= self._most:
            raise ApiError(
                400,
                f"there are {len(heads)} voices already; delete one before you add another.",
                code="too_many_voices",
            )
        if any(head is not None and head.name == name for head in heads):
            raise ApiError(
                409,
                f"name: there is a voice called {name!r}; choose another name, or delete it.",
                code="name_taken",
                param="name",
            )

    def _write(self, file: VoiceFile, path: Path) -> None:
        try:
            # Recordings of people are nobody else's business.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.write(path)
        except (OSError, OutputError) as error:
            cause = error.__cause__ if isinstance(error, OutputError) else error
            if isinstance(cause, OSError) and is_disk_full(cause, self.folder):
                raise ApiError(
                    507, "the disk of the voice library is full; free some space.", code="disk_full"
                ) from error
            why = cause.strerror if isinstance(cause, OSError) else "it is in the way"
            raise ApiError(
                500,
                f"the voice library cannot be written ({why}); see who owns its folder, or start "
                "the server with another one.",
            ) from error


def _patches(file: VoiceFile, model: MimoAudio) -> Patches:
    """The patches of a file, or of its recording if another audio tokenizer made them."""
    try:
        if file.patches.size:
            return model.listen(file.patches)  # which checks every code
        return model.listen((file.samples, file.head.rate))
    except BadInputError as error:
        raise ValueError(str(error).rstrip(".")) from error


def voice_of(voices: Iterable[Voice], wanted: str) -> Voice | None:
    """Of some voices, the oldest first, the one with this identifier, or else with this name."""
    voices, name = list(voices), _normal(wanted)
    same_id = (voice for voice in voices if voice.id == wanted)
    same_name = (voice for voice in voices if voice.name == name)
    return next(same_id, next(same_name, None))


def _voice(path: Path, head: VoiceHead) -> Voice:
    return Voice(id=path.stem, name=head.name, created=head.created, seconds=head.seconds)


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Stamp(status.st_mtime_ns, status.st_size)


def _normal(name: str) -> str:
    """The name in the one form in which names are compared."""
    return unicodedata.normalize("NFC", name).strip()


def _checked_name(name: str) -> str:
    name = _normal(name)
    if not 1 <= len(name) <= LONGEST_NAME:
        raise _refused(
            "name", f"it has {len(name)} characters; give a voice a name of 1 to {LONGEST_NAME}."
        )
    try:
        printable(name)
    except ValueError as error:
        raise _refused("name", f"{error}; give letters, digits and the like.") from error
    if name.casefold() == DEFAULT or _ID.fullmatch(name):
        raise _refused("name", f"{name} already means something else; choose another name.")
    return name


def _checked_consent(consent: str) -> str:
    if not consent.strip():
        raise _refused(
            "consent", "whose voice it is must agree; say so here in words, for example `yes`."
        )
    if len(consent) > LONGEST_CONSENT:
        raise _refused(
            "consent", f"it has {len(consent)} characters; give at most {LONGEST_CONSENT}."
        )
    return consent


def _refused(param: str, why: str) -> ApiError:
    return ApiError(400, f"{param}: {why}", code="invalid_value", param=param)
