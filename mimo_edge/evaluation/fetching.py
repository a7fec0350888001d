"""The data of benchmarks from huggingface.co, laid out as the public MiMo-Audio-Eval does.

Nothing here runs unless it is asked for. The sets are their authors', under their own licences.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..atomic import output_errors
from ..errors import BadInputError, MissingPackageError, ServerError

__all__ = ["SOURCES", "Source", "fetch"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """One repository of data."""

    repository: str
    folder: str
    """Where it goes in the folder of all data; empty: right there."""
    patterns: tuple[str, ...] | None = None
    """Which files; None: all."""
    archives: tuple[tuple[str, str], ...] = ()
    """(archives, folder to unpack them into)."""


_EVALSET = Source(
    repository="XiaomiMiMo/MiMo-Audio-Evalset", folder="", archives=(("*.tar.gz", "."),)
)
SOURCES: dict[str, Source] = {
    "speechmmlu": Source(
        repository="XiaomiMiMo/SpeechMMLU",
        folder="SpeechMMLU",
        archives=(("audio.tar.gz", "audio"),),
    ),
    "mmar": Source(
        repository="BoJack/MMAR",
        folder="MMAR",
        patterns=("MMAR-meta.json", "mmar-audio.tar.gz"),
        archives=(("mmar-audio.tar.gz", "."),),
    ),
    "bigbench": Source(
        repository="ArtificialAnalysis/big_bench_audio",
        folder="big_bench_audio",
        patterns=("metadata.jsonl", "data/*"),
    ),
    "voicebench": Source(
        repository="hlt-lab/voicebench",
        folder="voicebench",
        patterns=("mmsu/*", "openbookqa/*"),
    ),
    **dict.fromkeys(("mmau", "mmsu", "librispeech", "aishell1", "seedtts"), _EVALSET),
}
"""Benchmark, by what its name begins with → where its data are."""


def fetch(benchmarks: Sequence[str], data: Path) -> None:
    """Fetch the data of some benchmarks into a folder; what is there already stays.

    Raises:
        MimoEdgeError: huggingface_hub is not installed, or the data cannot be had.
    """
    sources = {_source(name).repository: _source(name) for name in benchmarks}
    for source in sources.values():
        folder = data / source.folder
        _download(source, folder)
        for pattern, inner in source.archives:
            for archive in sorted(folder.glob(pattern)):
                _unpack(archive, folder / inner)


def _source(benchmark: str) -> Source:
    return SOURCES[benchmark.partition("-")[0]]


def _download(source: Source, folder: Path) -> None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise MissingPackageError(
            "fetching data needs huggingface_hub; install it with `pip install 'mimo-edge[eval]'`."
        ) from error
    patterns = list(source.patterns) if source.patterns else None
    with output_errors(folder, "check the folder and the free disk"):
        try:
            snapshot_download(
                repo_id=source.repository,
                repo_type="dataset",
                local_dir=folder,
                allow_patterns=patterns,
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
            raise ServerError(
                f"the data {source.repository} cannot be fetched ({error}); check the network, or "
                f"fetch them by hand into {folder}."
            ) from error


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive once: a mark beside it says that it is done."""
    mark = archive.with_name(f".{archive.name}.unpacked")
    if mark.exists():
        return
    if not hasattr(tarfile, "data_filter"):  # first versions of Python 3.10 and 3.11
        raise BadInputError(
            f"this Python cannot unpack {archive} safely; take a later one, or unpack it by hand "
            f"into {folder}."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")  # nothing outside the folder, no devices
        mark.touch()
    except (OSError, tarfile.TarError) as error:
        raise BadInputError(
            f"{archive} cannot be unpacked ({error}); delete it, and fetch it again."
        ) from error
