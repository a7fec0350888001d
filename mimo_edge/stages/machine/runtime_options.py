"""How a bundle is run on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...bundle.manifest import BackboneConfig
from ...errors import BadInputError, DoesNotFitError

__all__ = ["DEFAULT_CONTEXT", "KvType", "PatchChoice", "RuntimeOptions"]

PatchChoice = Literal["auto", "onnx", "gguf"]
KvType = Literal["f32", "f16", "q8_0"]
"""Number types of the KV cache."""

_MOST_THREADS = 512
"""What ggml is built for (GGML_MAX_N_THREADS)."""
_LEAST_CONTEXT = 16
_MOST_CONVERSATIONS = 64
"""llama.cpp reserves room for the logits of one position of each: 0.6 MB in the released model."""
_ROW_OF_Q8_0 = 32
"""Numbers that share a scale."""
DEFAULT_CONTEXT = 4096
"""Positions of a conversation, fewer where the model was trained for fewer."""


@dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """How a bundle is run on this machine."""

    threads: int = 0
    """Of llama.cpp and of onnxruntime; 0: what is good for a model of this size on this machine,
    and fewer while other programs keep the processor busy (`placement.share_cores`)."""
    context: int | None = None
    """Positions of one conversation: text tokens, and patches of 160 ms. None: 4096, or as many
    as the model was trained for."""
    conversations: int = 8
    """How many conversations are in the cache, and answered, at once. Others wait; what an idle
    one has in the cache makes room, and is evaluated again when it goes on."""
    cache_positions: int | None = None
    """Positions that all conversations have in the cache together; None: as many as `context`."""
    prompt_piece: int | None = None
    """Positions of a prompt that are evaluated at once, and half as many between two steps of other
    answers. More are faster together, fewer delay a voice less. None: what suits the model."""
    device: str = "auto"
    """Where the backbone runs: auto, cpu, gpu, or a device by its name, for example Vulkan0
    (several with commas between them). auto: on a GPU that llama.cpp was built for and finds, but
    not on one that is a program on the processor."""
    gpu_layers: int = -1
    """Layers of the backbone on the GPU, counted from the last one, the text head being one of
    them; -1: as many as its free memory holds."""
    patches: PatchChoice = "auto"
    """What computes patch encoder and patch decoder: onnxruntime on the processor, or llama.cpp
    where the backbone is, of a bundle with a GGUF of them. auto: llama.cpp where the backbone is on
    a GPU, or what was measured to be quicker (`stages.machine.patch_place`)."""
    provider: str = "auto"
    """What onnxruntime computes the audio tokenizer with, by a name of `stages.graphs.providers`:
    cpu, coreml, webgpu, directml, cuda, openvino. auto: what `mimo-edge info --measure` found to be
    quickest, and without that the processor. Where it is missing or fails, the processor."""
    kv_type: KvType = "f16"
    """Number type of the KV cache. q8_0 takes half the memory of f16, but on a processor a step
    takes longer by it, the more the longer the conversation is. Where the width of a head is not a
    multiple of 32, it is f16."""
    full_head: bool | None = None
    """Whether the language model computes the logits of all text ids at every position. Where the
    format of a spoken answer leaves one id or a few, they are not needed, and a large model saves
    an eighth of what it reads. None: they are left out by large models that are known to keep the
    format; False: by every model."""
    flash_attention: bool | None = None
    """Whether attention is computed in one operator. None: on a GPU as llama.cpp decides, on a
    processor only where the cache is q8_0, which needs it."""
    draft_model: Path | None = None
    """GGUF of a small text model with the same vocabulary, for guesses where nothing else knows
    how a text goes on (`stages.backbone_draft`)."""
    drafting: bool = True
    """Guess text that probably comes next, so that one reading of the weights gives several ids.
    The answer is the same; see `generation.drafting`."""
    repack: bool | None = False
    """Lay the backbone's weights out anew, as the processor multiplies them fastest. Loading then
    takes seconds longer for a large model, and the weights are memory of this process, which it
    shares with no other, instead of a mapped file. None: where it pays for a program that answers
    for a while, a server (`stages.machine.repacking`)."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if not 0 <= self.threads <= _MOST_THREADS:
            raise BadInputError(
                f"the number of threads is {self.threads}; give 0 (all fast cores) to "
                f"{_MOST_THREADS}."
            )
        if self.context is not None and self.context < _LEAST_CONTEXT:
            raise BadInputError(
                f"the context is {self.context} positions; give at least {_LEAST_CONTEXT}."
            )
        if not 1 <= self.conversations <= _MOST_CONVERSATIONS:
            raise BadInputError(
                f"the number of conversations at once is {self.conversations}; give 1 to "
                f"{_MOST_CONVERSATIONS}."
            )
        if self.cache_positions is not None and self.cache_positions < _LEAST_CONTEXT:
            raise BadInputError(
                f"the cache holds {self.cache_positions} positions; give at least "
                f"{_LEAST_CONTEXT}, and as many as one conversation has."
            )
        if self.prompt_piece is not None and self.prompt_piece < 1:
            raise BadInputError(
                f"a piece of a prompt is {self.prompt_piece} positions; give 1 or more."
            )
        if self.kv_type == "q8_0" and self.flash_attention is False:
            raise BadInputError(
                "a cache of the type q8_0 needs flash attention; leave that on, or give f16."
            )
        if self.gpu_layers < -1:
            raise BadInputError(
                f"the number of layers on the GPU is {self.gpu_layers}; give -1 (all) or more."
            )

    def kv_type_for(self, backbone: BackboneConfig) -> KvType:
        """`kv_type`, or f16 for a model whose heads do not fit it."""
        fits = backbone.head_dim % _ROW_OF_Q8_0 == 0
        return self.kv_type if fits or self.kv_type != "q8_0" else "f16"

    def context_for(self, backbone: BackboneConfig) -> int:
        """`context`, with None resolved.

        Raises:
            MimoEdgeError: it is larger than this model knows.
        """
        if self.context is None:
            return min(DEFAULT_CONTEXT, backbone.max_positions)
        if self.context > backbone.max_positions:
            raise DoesNotFitError(
                f"a context of {self.context} positions is more than this model knows; "
                f"give at most {backbone.max_positions}."
            )
        return self.context

    def cache_for(self, backbone: BackboneConfig) -> int:
        """Positions of the cache that all conversations share: at least one whole context.

        Raises:
            MimoEdgeError: the context is larger than this model knows.
        """
        return max(self.context_for(backbone), self.cache_positions or 0)
