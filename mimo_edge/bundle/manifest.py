"""The manifest of a bundle: everything the runtime has to know about a model.

`manifest.json` is written by `convert/` and read by `bundle/files.py`. Unknown keys,
missing keys, wrong types and values that no model has are refused, so that an edited or a
newer manifest is reported and never half-understood. What values must have in common is in
`bundle/manifest_checks.py`.

A bundle consists of parts: the backbone and five graphs. Those of the speaking half may be left
out, all of them together; then the model listens and answers in text. The patch encoder and the
patch decoder may be there a second time, as GGUF files for llama.cpp, which runs them on a GPU.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict

from ..errors import CannotSpeakError
from . import manifest_bounds as bounds

__all__ = [
    "BACKBONE_FILE",
    "CHECKSUM_KEY",
    "CODE_EMBEDDINGS_FILE",
    "GRAPHS",
    "HIDDEN_DOWNCAST_FILE",
    "MANIFEST_FILE",
    "OPTIONAL_PARTS",
    "PART_FILES",
    "PATCH_DECODER_GGUF",
    "PATCH_EMBEDDINGS_FILE",
    "PATCH_ENCODER_GGUF",
    "SCHEMA_VERSION",
    "SPEAKING_PARTS",
    "AudioConfig",
    "BackboneConfig",
    "BundleFile",
    "Document",
    "Manifest",
    "PatchConfig",
    "Prompts",
    "SourceFile",
    "checksum",
]

SCHEMA_VERSION = 2
MANIFEST_FILE = "manifest.json"
BACKBONE_FILE = "backbone.gguf"
CODE_EMBEDDINGS_FILE = "code_embeddings.npy"
"""float32 [sum of code vocabularies, local_dim]: inputs of the patch decoder's later steps."""
HIDDEN_DOWNCAST_FILE = "hidden_downcast.npy"
"""float32 [local_dim, hidden]: makes the input of the patch decoder's first step."""
PATCH_DECODER_GGUF = "patch_decoder.gguf"
PATCH_ENCODER_GGUF = "patch_encoder.gguf"
PATCH_EMBEDDINGS_FILE = "patch_embeddings.npy"
"""float32 [sum of code vocabularies, width of the patch encoder]: what its GGUF gets of a code."""
GRAPHS = ("audio_encoder", "audio_decoder", "vocoder", "patch_encoder", "patch_decoder")
"""The graphs of a bundle; each is `{name}.onnx` with its weights in `{name}.onnx.data`."""

PART_FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "backbone": (BACKBONE_FILE,),
        **{name: (f"{name}.onnx", f"{name}.onnx.data") for name in GRAPHS[:-1]},
        "patch_decoder": (
            *("patch_decoder.onnx", "patch_decoder.onnx.data"),
            *(CODE_EMBEDDINGS_FILE, HIDDEN_DOWNCAST_FILE),
        ),
        "patch_encoder_gguf": (PATCH_ENCODER_GGUF, PATCH_EMBEDDINGS_FILE),
        "patch_decoder_gguf": (PATCH_DECODER_GGUF,),
    }
)
"""Part → its files. A graph whose weights are all tiny has no `.onnx.data`."""
SPEAKING_PARTS = ("audio_decoder", "vocoder", "patch_decoder")
"""The speaking half: parts that only make speech. A bundle has all of them or none."""
OPTIONAL_PARTS: Mapping[str, str] = MappingProxyType(
    {"patch_encoder_gguf": "patch_encoder", "patch_decoder_gguf": "patch_decoder"}
)
"""Parts that a bundle may have beside its graphs → the graph that computes the same."""

Prompts = Literal["mimo-audio", "mimo-v2.5-asr"]
"""Whose prompts a checkpoint was trained with: MiMo-Audio's, for many tasks, or those of
MiMo-V2.5-ASR, which only writes down what is said."""
_USUAL_PROMPTS: Prompts = "mimo-audio"

_STRICT = ConfigDict(extra="forbid", strict=True)
CHECKSUM_KEY = "checksum"
"""Key of `manifest.json` that is no field: an edited number would surface anywhere later."""


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file of the bundle."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: bounds.Name
    size: bounds.Bytes
    """Bytes, which are compared whenever the bundle is loaded."""
    sha256: bounds.Hash
    sample: bounds.Hash
    """Hash of a few blocks of the file, quick enough to check at every load."""
    parameters: bounds.Bytes
    """Values of the checkpoint that the file holds; 0 if it repeats those of others."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file of the checkpoint that the bundle was made from."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: bounds.Name
    """`MiMo-Audio-7B-Instruct/config.json`, or with the owner if it came from a hub."""
    size: bounds.Bytes
    sha256: bounds.Hash
    revision: bounds.Name | None = None
    """Commit of the hub's repository it was downloaded from; None for a folder."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """A text about the model that came with its checkpoint: a licence, a model card."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    name: bounds.Name
    """Name of the file in the bundle."""
    size: bounds.Bytes
    sha256: bounds.Hash
    source: bounds.Name
    """What it was called there: `MiMo-Audio-7B-Instruct/LICENSE`."""


@dataclass(frozen=True, kw_only=True)
class AudioConfig:
    """The audio tokenizer: waveform ↔ log-mel ↔ RVQ codes (technical report, section 2)."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    sample_rate: bounds.Rate
    """Hz, of every waveform that enters or leaves the model."""
    n_fft: bounds.Samples
    window_size: bounds.Samples
    hop_length: bounds.Samples
    """Samples from one mel frame to the next."""
    n_mels: bounds.Mels
    f_min: bounds.Frequency
    """Hz, lower edge of the lowest mel filter."""
    f_max: bounds.Frequency
    """Hz, upper edge of the highest mel filter."""
    num_quantizers: bounds.Codebooks
    """Codebooks of the audio tokenizer; patches hold the first `PatchConfig.channels`."""
    codebook_sizes: tuple[bounds.CodebookSize, ...]
    encode_stride: bounds.Stride
    """Mel frames per code step on the way in (convolution stride × pooling)."""
    decode_stride: bounds.Stride
    """Mel frames per code step on the way out; equal to `encode_stride` in the released model."""
    vocoder_left: bounds.Reach
    """Mel frames before a frame that its sound depends on (layers × left window), -1: all."""
    vocoder_right: bounds.Reach
    """Mel frames after a frame that its sound depends on (layers × right window), -1: all."""
    decoder_layers: bounds.Layers
    decoder_heads: bounds.Heads
    decoder_head_dim: bounds.Width

    @property
    def samples_per_step(self) -> int:
        """Samples of the waveform that one code step decodes to."""
        return self.decode_stride * self.hop_length


@dataclass(frozen=True, kw_only=True)
class PatchConfig:
    """Patches of RVQ codes and the two small transformers around the backbone."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    group_size: bounds.Steps
    """Code steps in a patch."""
    channels: bounds.Codebooks
    """Codebooks in a patch (`audio_channels` of the checkpoint)."""
    vocab_sizes: tuple[bounds.CodebookSize, ...]
    """Per codebook, the empty id included."""
    empty_ids: tuple[bounds.CodeId, ...]
    delays: tuple[bounds.Delay, ...]
    """Per codebook, the steps by which the patch decoder writes it later."""
    local_dim: bounds.Width
    local_layers: bounds.Layers
    local_heads: bounds.Heads

    @property
    def decode_steps(self) -> int:
        """Steps of the patch decoder for one patch."""
        return self.group_size + max(self.delays)


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """The language model: a plain Qwen2, stored as GGUF."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    vocab_size: bounds.Vocabulary
    hidden_size: bounds.Width
    layers: bounds.Layers
    kv_heads: bounds.Heads
    head_dim: bounds.Width
    max_positions: bounds.Positions
    """Longest context the model was trained for, in positions."""
    embedding_type: bounds.Name
    """GGUF number type of the tensor `token_embd.weight`."""
    embedding_offset: bounds.Bytes
    """Its first byte in the GGUF file."""

    @property
    def cached_values(self) -> int:
        """Numbers that one position takes in the KV cache: keys and values of every layer."""
        return 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in a bundle; see the module's docstring."""

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT

    schema_version: int
    name: bounds.Name
    """The model's name, from the checkpoint's folder or hub id."""
    recipe: bounds.Name
    precisions: dict[bounds.Name, bounds.Name]
    """The parts of this bundle and what each is stored as; see `PART_FILES`."""
    source: tuple[SourceFile, ...]
    audio: AudioConfig
    patch: PatchConfig
    backbone: BackboneConfig
    special_tokens: dict[bounds.Name, bounds.TokenId]
    """Text of every control token a prompt may need (`<|im_start|>`, …) → its id."""
    files: tuple[BundleFile, ...]
    prompts: Prompts = _USUAL_PROMPTS
    """Left out of the file where it is the usual one, so that such a bundle loads in versions of
    this program that know no other."""
    documents: tuple[Document, ...] = ()
    """Texts that go wherever the bundle goes. Nothing is computed with them, so that a model runs
    without them as well, and they are left out of the fingerprint."""

    def to_json(self) -> str:
        """The manifest as it is written to disk, with a checksum against edits."""
        values = asdict(self)
        if self.prompts == _USUAL_PROMPTS:
            del values["prompts"]
        if not self.documents:  # for the same reason
            del values["documents"]
        values[CHECKSUM_KEY] = checksum(values)
        return json.dumps(values, indent=1, ensure_ascii=False) + "\n"

    @property
    def speaks(self) -> bool:
        """Whether the bundle has its speaking half."""
        return all(part in self.precisions for part in SPEAKING_PARTS)

    def check_speaks(self) -> None:
        """Raise CannotSpeakError if the bundle lacks its speaking half."""
        if self.speaks:
            return
        if self.prompts == "mimo-v2.5-asr":  # to convert it again would not help
            raise CannotSpeakError("use a bundle of MiMo-Audio-7B-Instruct for that")
        raise CannotSpeakError

    def part_of(self, file: str) -> str:
        """The part that one of the bundle's files belongs to."""
        return next(part for part in self.precisions if file in PART_FILES[part])

    @property
    def listed(self) -> tuple[BundleFile | Document, ...]:
        """Every file whose hash is known: what is computed with, and the texts about it."""
        return (*self.files, *self.documents)

    @property
    def backbone_bytes(self) -> int:
        """Bytes of the backbone's file."""
        return next(file.size for file in self.files if file.name == BACKBONE_FILE)

    def fingerprint(self) -> str:
        """A hash of the files' hashes: equal for bundles that compute the same."""
        text = "\n".join(f"{file.name} {file.sha256}" for file in self.files)
        return hashlib.sha256(text.encode()).hexdigest()


def checksum(values: dict[str, Any]) -> str:
    """SHA-256 of the manifest's values, however they are laid out in the file."""
    text = json.dumps(values, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
