"""Checkpoint folders → bundle folder, whole or not at all.

Everything is written into a hidden folder beside the target, which gets its name at the
end; the manifest, without which no folder is a bundle, is written last.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from mimo_edge.config import (
    BACKBONE_FILE,
    CODE_EMBEDDINGS_FILE,
    GRAPHS,
    HIDDEN_DOWNCAST_FILE,
    MANIFEST_FILE,
    SCHEMA_VERSION,
    AudioConfig,
    BackboneConfig,
    BundleFile,
    Manifest,
    PatchConfig,
    SourceFile,
    file_sample,
    file_sha256,
)
from mimo_edge.errors import MimoEdgeError

from .backbone import expected_backbone_tensors, write_backbone
from .checkpoint import Checkpoint
from .configs import AudioTokenizerConfig, LanguageModelConfig
from .patch_decoder import decoder_input_tables
from .recipes import Recipe, build_graph, part_sizes
from .tensors import RecordedWeights, audio_tensors, patch_tensors
from .text_tokenizer import TextTokenizer, read_text_tokenizer

__all__ = ["Progress", "Source", "check_target", "convert", "open_source"]

_LOGGER = logging.getLogger(__name__)

_LITTLE_SPACE = 64 << 20
"""Bytes free, under which a failed write is blamed on the disk."""

Progress = Callable[[str, int, int], None]
"""Told the stage, the bytes done and the bytes in all."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Both checkpoints, opened and checked against each other."""

    language_checkpoint: Checkpoint
    audio_checkpoint: Checkpoint
    language: LanguageModelConfig
    audio: AudioTokenizerConfig
    text: TextTokenizer


def open_source(model: Path, tokenizer: Path) -> Source:
    """Open the two checkpoint folders and check that everything needed is there.

    Raises:
        MimoEdgeError: what is missing, misshapen, or does not belong together.
    """
    language_checkpoint, audio_checkpoint = Checkpoint.open(model), Checkpoint.open(tokenizer)
    language = LanguageModelConfig.parse(language_checkpoint.config, model / "config.json")
    audio = AudioTokenizerConfig.parse(audio_checkpoint.config, tokenizer / "config.json")
    language_checkpoint.check(expected_backbone_tensors(language) | patch_tensors(language))
    audio_checkpoint.check(audio_tensors(audio))
    if language.audio_channels > audio.num_quantizers:
        raise MimoEdgeError(
            f"{model} uses {language.audio_channels} codebooks and {tokenizer} has "
            f"{audio.num_quantizers}; they are not made for each other."
        )
    for channel in range(language.audio_channels):
        size, empty = audio.codebook_sizes[channel], language.speech_empty_ids[channel]
        if size > language.speech_vocab_sizes[channel] or empty < size:
            raise MimoEdgeError(
                f"codebook {channel} of {tokenizer} has {size} entries, but {model} knows "
                f"{language.speech_vocab_sizes[channel]} codes with {empty} as the empty one; "
                "they are not made for each other."
            )
    text = read_text_tokenizer(model, vocab_size=language.vocab_size)
    return Source(
        language_checkpoint=language_checkpoint,
        audio_checkpoint=audio_checkpoint,
        language=language,
        audio=audio,
        text=text,
    )


def convert(
    source: Source,
    out: Path,
    recipe: Recipe,
    *,
    name: str,
    imatrix: Path | None = None,
    threads: int = 0,
    force: bool = False,
    progress: Progress | None = None,
    verify: Callable[[Path, Manifest], None] | None = None,
) -> Manifest:
    """Write the bundle `out`; `verify` is called with the finished folder before it gets its name.

    Raises:
        MimoEdgeError: `out` is in the way, the disk is full, or a part cannot be made.
    """
    tell = progress or (lambda stage, done, total: None)
    check_target(out, force=force)
    work = out.with_name(f".{out.name}.partial")
    with _working_folder(work, out):
        _check_room(source, recipe, out)
        parameters = _write_parts(source, work, recipe, name, imatrix, threads, tell)
        manifest = _manifest(source, work, recipe, name, parameters, tell)
        if verify:
            verify(work, manifest)
        (work / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
        _put_in_place(work, out)
    return manifest


def check_target(out: Path, *, force: bool) -> None:
    """Raise MimoEdgeError if `out` is taken: a bundle needs `force`, anything else stays."""
    if not out.exists():
        return
    if out.is_dir() and (out / MANIFEST_FILE).is_file():
        if not force:
            raise MimoEdgeError(f"{out} is a bundle already; give --force to replace it.")
        return
    if not out.is_dir() or any(out.iterdir()):
        raise MimoEdgeError(f"{out} exists and is no bundle; choose another --out.")


def _write_parts(
    source: Source,
    work: Path,
    recipe: Recipe,
    name: str,
    imatrix: Path | None,
    threads: int,
    tell: Progress,
) -> dict[str, int]:
    """Write all files but the manifest; file name → parameters it holds."""
    write_backbone(
        source.language_checkpoint,
        source.language,
        source.text,
        work / BACKBONE_FILE,
        type=recipe.backbone,
        name=name,
        imatrix=imatrix,
        threads=threads,
        progress=tell,
    )
    shapes = expected_backbone_tensors(source.language).values()
    parameters = {BACKBONE_FILE: sum(int(np.prod(shape)) for shape in shapes)}
    for graph in GRAPHS:
        parameters |= _write_graph(source, work, graph, recipe, tell)
    weights = RecordedWeights(source.language_checkpoint)
    table, downcast = decoder_input_tables(weights, source.language)
    np.save(work / CODE_EMBEDDINGS_FILE, np.ascontiguousarray(table))
    np.save(work / HIDDEN_DOWNCAST_FILE, np.ascontiguousarray(downcast))
    parameters[CODE_EMBEDDINGS_FILE] = 0
    parameters[HIDDEN_DOWNCAST_FILE] = int(downcast.size)
    return parameters


def _write_graph(
    source: Source, work: Path, name: str, recipe: Recipe, tell: Progress
) -> dict[str, int]:
    weights = {
        "audio": RecordedWeights(source.audio_checkpoint),
        "language": RecordedWeights(source.language_checkpoint),
    }
    precision: Any = recipe.precisions()[name]
    graph = build_graph(name, precision, lambda part: weights[part], source.language, source.audio)
    total, done = graph.weight_bytes(), 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        tell(f"writing {name}", done, total)

    _LOGGER.debug("writing %s as %s", name, precision)
    path = work / f"{name}.onnx"
    graph.save(path, advance)
    tell(f"writing {name}", total, total)  # the smallest tensors lie in the graph, unannounced
    return {path.name: 0, f"{path.name}.data": sum(w.parameters() for w in weights.values())}


def _manifest(
    source: Source,
    work: Path,
    recipe: Recipe,
    name: str,
    parameters: dict[str, int],
    tell: Progress,
) -> Manifest:
    checkpoints = (source.language_checkpoint, source.audio_checkpoint)
    paths = [path for checkpoint in checkpoints for path in checkpoint.source_files()]
    written = [work / file for file in parameters if (work / file).is_file()]
    total = sum(path.stat().st_size for path in (*paths, *written))
    done = 0

    def hashed(path: Path) -> str:
        return file_sha256(path, advance)

    def advance(size: int) -> None:
        nonlocal done
        done += size
        tell("hashing", done, total)

    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=name,
        recipe=recipe.name,
        precisions=recipe.precisions(),
        source=tuple(
            SourceFile(
                name=f"{path.parent.name}/{path.name}",
                size=path.stat().st_size,
                sha256=hashed(path),
            )
            for path in paths
        ),
        audio=_audio_config(source.audio),
        patch=_patch_config(source.language),
        backbone=_backbone_config(source.language, work / BACKBONE_FILE),
        special_tokens=dict(source.text.special_tokens),
        files=tuple(
            BundleFile(
                name=path.name,
                size=path.stat().st_size,
                sha256=hashed(path),
                sample=file_sample(path),
                parameters=parameters[path.name],
            )
            for path in written
        ),
    )


def _audio_config(audio: AudioTokenizerConfig) -> AudioConfig:
    left, right = (
        -1 if side < 0 else side * audio.vocoder_num_layers for side in audio.vocoder_window
    )
    return AudioConfig(
        sample_rate=audio.sampling_rate,
        n_fft=audio.nfft,
        window_size=audio.window_size,
        hop_length=audio.hop_length,
        n_mels=audio.n_mels,
        f_min=audio.fmin,
        f_max=audio.fmax,
        d_model=audio.d_model,
        num_quantizers=audio.num_quantizers,
        codebook_sizes=audio.codebook_sizes,
        encode_stride=audio.stride_size * audio.avg_pooler,
        decode_stride=audio.decoder_stride_size * audio.avg_pooler,
        vocoder_left=left,
        vocoder_right=right,
        decoder_layers=audio.decoder_layers,
        decoder_heads=audio.decoder_attention_heads,
        decoder_head_dim=audio.d_model // audio.decoder_attention_heads,
    )


def _patch_config(language: LanguageModelConfig) -> PatchConfig:
    return PatchConfig(
        group_size=language.group_size,
        channels=language.audio_channels,
        vocab_sizes=language.speech_vocab_sizes,
        empty_ids=language.speech_empty_ids,
        delays=language.delays,
        local_dim=language.local_dim,
        local_layers=language.local_layers,
        local_heads=language.local_attn_heads,
    )


def _backbone_config(language: LanguageModelConfig, path: Path) -> BackboneConfig:
    """With the place of the token embeddings, which the runtime reads straight from the file."""
    tensors = gguf.GGUFReader(path).tensors
    embedding = next(tensor for tensor in tensors if tensor.name == "token_embd.weight")
    return BackboneConfig(
        vocab_size=language.vocab_size,
        hidden_size=language.hidden_size,
        layers=language.num_hidden_layers,
        kv_heads=language.num_key_value_heads,
        head_dim=language.head_dim,
        max_positions=language.max_position_embeddings,
        embedding_type=embedding.tensor_type.name,
        embedding_offset=int(embedding.data_offset),
    )


def _check_room(source: Source, recipe: Recipe, out: Path) -> None:
    """Fail before the first byte if the disk cannot hold the bundle and the intermediate GGUF."""
    sizes = part_sizes(recipe, source.language, source.audio)
    names = expected_backbone_tensors(source.language)
    intermediate = sum(source.language_checkpoint.info(name).nbytes for name in names)
    float_types = ("f32", "f16", "bf16")
    needed = sum(sizes.values()) + (0 if recipe.backbone in float_types else intermediate)
    free = shutil.disk_usage(out.parent).free
    if free < needed:
        raise MimoEdgeError(
            f"{out.parent} has {free / 1e9:.1f} GB free and the conversion needs "
            f"{needed / 1e9:.1f} GB; free some disk or choose a smaller --recipe."
        )


@contextmanager
def _working_folder(work: Path, out: Path) -> Iterator[None]:
    """A fresh folder, removed afterwards whatever happens; one that a kill left goes first."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        yield
    except OSError as error:
        # NumPy's short writes carry no errno.
        if error.errno == errno.ENOSPC or (
            error.errno is None and shutil.disk_usage(out.parent).free < _LITTLE_SPACE
        ):
            raise MimoEdgeError(
                f"the disk of {out.parent} is full; free some and run the same command again."
            ) from error
        raise MimoEdgeError(
            f"{error.filename or out} cannot be written ({error.strerror or error}); "
            "choose another --out or mend its permissions."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put_in_place(work: Path, out: Path) -> None:
    """Rename; a bundle of that name steps aside first and goes last."""
    aside = out.with_name(f".{out.name}.replaced")
    shutil.rmtree(aside, ignore_errors=True)
    if out.exists():
        out.rename(aside)
    try:
        work.rename(out)
    except BaseException:
        if aside.exists():
            aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)
