"""The manifest of a bundle from the checkpoints' configs and the files that were written."""

from __future__ import annotations

from pathlib import Path

from mimo_edge.bundle.files import file_sample, file_sha256
from mimo_edge.bundle.gguf_header import read_header
from mimo_edge.bundle.manifest import (
    BACKBONE_FILE,
    SCHEMA_VERSION,
    SPEAKING_PARTS,
    AudioConfig,
    BackboneConfig,
    BundleFile,
    Document,
    Manifest,
    PatchConfig,
    SourceFile,
)
from mimo_edge.bundle.manifest_checks import check_dimensions, check_manifest
from mimo_edge.bundle.untrusted_json import printable_name
from mimo_edge.errors import BadBundleError

from .backbone.gguf_file import Progress
from .checkpoints.configs import AudioTokenizerConfig, LanguageModelConfig
from .checkpoints.source import Source
from .recipes import Recipe

__all__ = ["check_source", "listening_manifest", "make_manifest"]


def make_manifest(
    source: Source,
    work: Path,
    recipe: Recipe,
    name: str,
    parameters: dict[str, int],
    tell: Progress,
    documents: tuple[Document, ...] = (),
) -> Manifest:
    """Describe the files in `work`; `parameters` is how many weights each of them holds.

    `documents` are the licences and cards among them.

    Raises:
        MimoEdgeError: the runtime would refuse the manifest.
    """
    read = [
        (origin, path)
        for origin, checkpoint in (
            (source.language_origin, source.language_checkpoint),
            (source.audio_origin, source.audio_checkpoint),
        )
        for path in checkpoint.source_files()
    ]
    written = [work / file for file in parameters if (work / file).is_file()]
    total = sum(path.stat().st_size for path in (*(path for _, path in read), *written))
    done = 0

    def hashed(path: Path) -> str:
        return file_sha256(path, advance)

    def advance(size: int) -> None:
        nonlocal done
        done += size
        tell("hashing", done, total)

    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=printable_name(name),
        recipe=recipe.name,
        precisions=recipe.precisions(),
        source=tuple(
            SourceFile(
                name=printable_name(f"{origin.name}/{path.name}"),
                size=path.stat().st_size,
                sha256=hashed(path),
                revision=origin.revision,
            )
            for origin, path in read
        ),
        audio=_audio_config(source.audio),
        patch=_patch_config(source.language),
        backbone=_backbone_config(source.language, work / BACKBONE_FILE),
        special_tokens=dict(source.text.special_tokens),
        prompts=source.language.prompts,
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
        documents=documents,
    )
    try:
        check_manifest(manifest)
    except ValueError as error:
        raise _unusable(name, error) from error
    return manifest


def listening_manifest(source: Source, backbone: Path, recipe: Recipe) -> Manifest:
    """Enough of a manifest to load the parts that listen, while the others are still to be made.

    `backbone` is a GGUF of the model in any type.
    """
    file = BundleFile(
        name=BACKBONE_FILE, size=backbone.stat().st_size, sha256="", sample="", parameters=0
    )
    precisions = recipe.precisions()
    listening = [graph for graph in recipe.graphs if graph not in SPEAKING_PARTS]
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=recipe.name,
        recipe=recipe.name,
        precisions={part: precisions[part] for part in ("backbone", *listening)},
        source=(),
        audio=_audio_config(source.audio),
        patch=_patch_config(source.language),
        backbone=_backbone_config(source.language, backbone),
        special_tokens=dict(source.text.special_tokens),
        prompts=source.language.prompts,
        files=(file,),
    )


def check_source(source: Source, name: str) -> None:
    """Raise MimoEdgeError, before the work, if the bundle's manifest could not be read again."""
    try:
        check_dimensions(_audio_config(source.audio), _patch_config(source.language))
    except ValueError as error:
        raise _unusable(name, error) from error


def _unusable(name: str, error: ValueError) -> BadBundleError:
    return BadBundleError(
        f"{name} cannot become a bundle: {error}; its config.json is damaged or of another kind "
        "of model."
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
    embedding = read_header(path).tensors["token_embd.weight"]
    return BackboneConfig(
        vocab_size=language.vocab_size,
        hidden_size=language.hidden_size,
        layers=language.num_hidden_layers,
        kv_heads=language.num_key_value_heads,
        head_dim=language.head_dim,
        max_positions=language.max_position_embeddings,
        embedding_type=embedding.kind,
        embedding_offset=embedding.offset,
    )
