"""Recipes: which precision every part of a bundle is stored in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mimo_edge.bundle.manifest import GRAPHS, OPTIONAL_PARTS, SPEAKING_PARTS
from mimo_edge.errors import BadInputError

from .backbone.matrix_types import BACKBONE_TYPES
from .backbone.patch_stacks import STACK_TYPES, stack_bytes
from .backbone.writing import backbone_bytes
from .checkpoints.configs import AudioTokenizerConfig, LanguageModelConfig
from .checkpoints.tensors import ShapesOnly, audio_tensors, patch_tensors
from .graphs.audio_decoder import build_audio_decoder
from .graphs.audio_encoder import build_audio_encoder
from .graphs.graph_builder import GraphBuilder
from .graphs.linear import PRECISIONS, Precision, Weights
from .graphs.patch_decoder import build_patch_decoder
from .graphs.patch_encoder import build_patch_encoder
from .graphs.vocoder import build_vocoder

__all__ = [
    "RECIPES",
    "Recipe",
    "build_graph",
    "change_recipe",
    "fitting_recipe",
    "get_recipe",
    "part_sizes",
    "with_patch_stacks",
    "without_speech",
]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How precisely each part of a bundle is stored.

    The backbone has one of `BACKBONE_TYPES`, a graph one of `PRECISIONS`.
    """

    name: str
    purpose: str
    backbone: str
    audio_encoder: Precision
    audio_decoder: Precision
    vocoder: Precision
    patch_encoder: Precision
    patch_decoder: Precision
    patch_gguf: str
    """One of `STACK_TYPES`: what GGUF files of patch encoder and patch decoder are stored as, if
    they are made."""
    speaks: bool = True
    """Whether the speaking half is made, too."""
    patch_stacks: tuple[tuple[str, str], ...] = ()
    """GGUF files that are made beside the graphs, for GPUs: part and one of `STACK_TYPES`."""

    def precisions(self) -> dict[str, str]:
        """Part → precision, of the parts that are made."""
        graphs = {name: getattr(self, name) for name in self.graphs}
        return {"backbone": self.backbone} | graphs | dict(self.patch_stacks)

    @property
    def graphs(self) -> tuple[str, ...]:
        """Names of the graphs that are made: all, or those that listening takes."""
        return tuple(name for name in GRAPHS if self.speaks or name not in SPEAKING_PARTS)


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        name="reference",
        purpose="everything float32: to compare with the reference, not to talk to",
        backbone="f32",
        audio_encoder="fp32",
        audio_decoder="fp32",
        vocoder="fp32",
        patch_encoder="fp32",
        patch_decoder="fp32",
        patch_gguf="f32",
    ),
    Recipe(
        name="quality",
        purpose="close to the original, for 16 GB of memory",
        backbone="q6_k",
        audio_encoder="fp32",
        audio_decoder="w8",
        vocoder="fp32",
        patch_encoder="w8",
        patch_decoder="w8",
        patch_gguf="q8_0",
    ),
    Recipe(
        name="default",
        purpose="4 bits where they cost least; 8 GB of memory with little else running",
        backbone="q4_k",
        audio_encoder="w8",
        audio_decoder="w8",
        vocoder="fp32",
        patch_encoder="w8",
        patch_decoder="w4c",
        patch_gguf="q4_k",
    ),
    Recipe(
        name="fast",
        purpose="3 bits where they cost least: fewest bytes for a second of speech",
        backbone="q3_k",
        audio_encoder="w8",
        audio_decoder="w8",
        vocoder="fp32",
        patch_encoder="w8",
        patch_decoder="w4c",
        patch_gguf="q4_k",
    ),
    Recipe(
        name="small",
        purpose="the smallest",
        backbone="iq4_xs",
        audio_encoder="int8",
        audio_decoder="int8",
        vocoder="int8",
        patch_encoder="w4",
        patch_decoder="w4c",
        patch_gguf="q4_k",
    ),
)


def get_recipe(name: str) -> Recipe:
    """A recipe by its name.

    Raises:
        MimoEdgeError: there is none of that name.
    """
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    names = ", ".join(recipe.name for recipe in RECIPES)
    raise BadInputError(f"there is no recipe {name!r}; choose one of {names}.")


def change_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """A recipe with other precisions for some parts, each written `part=precision`.

    Raises:
        MimoEdgeError: there is no such part or no such precision for it.
    """
    for change in changes:
        part, _, precision = change.partition("=")
        if part not in recipe.precisions():
            raise BadInputError(
                f"{change!r}: there is no part {part!r}; "
                f"give one of {', '.join(recipe.precisions())}, as in backbone=q5_k_m."
            )
        known = _precisions_of(part)
        if precision not in known:
            raise BadInputError(f"{change!r}: {part} is stored as one of {', '.join(known)}.")
        fields: dict[str, Any] = {part: precision}
        if part in OPTIONAL_PARTS:
            fields = {"patch_stacks": tuple({**dict(recipe.patch_stacks), part: precision}.items())}
        recipe = replace(recipe, name=f"{recipe.name}, {change}", **fields)
    return recipe


def _precisions_of(part: str) -> tuple[str, ...]:
    """What a part can be stored as."""
    if part == "backbone":
        return tuple(BACKBONE_TYPES)
    if part in OPTIONAL_PARTS:
        return tuple(STACK_TYPES)
    return tuple(name for name in PRECISIONS if name != "w4c" or part == "patch_decoder")


def without_speech(recipe: Recipe) -> Recipe:
    """The recipe for a bundle that listens and answers in text only."""
    return replace(recipe, speaks=False, name=f"{recipe.name}, without speech")


def with_patch_stacks(recipe: Recipe) -> Recipe:
    """The recipe with GGUF files of patch encoder and patch decoder beside their graphs."""
    parts = [part for part, graph in OPTIONAL_PARTS.items() if graph in recipe.graphs]
    stacks = tuple((part, recipe.patch_gguf) for part in parts)
    return replace(recipe, patch_stacks=stacks, name=f"{recipe.name}, with patch GGUF")


def fitting_recipe(recipe: Recipe, language: LanguageModelConfig) -> Recipe:
    """The recipe itself, or that without speech for a model that was never trained to speak."""
    if not (recipe.speaks and language.listens_only):
        return recipe
    listening = without_speech(recipe)
    kept = tuple(s for s in recipe.patch_stacks if OPTIONAL_PARTS[s[0]] in listening.graphs)
    return replace(listening, patch_stacks=kept)


def build_graph(
    name: str,
    precision: Precision,
    weights: Callable[[str], Weights],
    language: LanguageModelConfig,
    audio: AudioTokenizerConfig,
) -> GraphBuilder:
    """Lay out one graph; `weights` is asked for "audio" or "language"."""
    if name == "audio_encoder":
        return build_audio_encoder(weights("audio"), audio, precision)
    if name == "audio_decoder":
        return build_audio_decoder(weights("audio"), audio, precision, language.audio_channels)
    if name == "vocoder":
        return build_vocoder(weights("audio"), audio, precision)
    if name == "patch_encoder":
        return build_patch_encoder(weights("language"), language, precision)
    assert name == "patch_decoder", name
    return build_patch_decoder(weights("language"), language, precision)


def part_sizes(
    recipe: Recipe, language: LanguageModelConfig, audio: AudioTokenizerConfig
) -> dict[str, int]:
    """Bytes of every part's weights, from the configs alone."""
    shapes: dict[str, Any] = {"audio": audio_tensors(audio), "language": patch_tensors(language)}
    sizes = {"backbone": sum(backbone_bytes(language, recipe.backbone).values())}
    for name in recipe.graphs:
        graph = build_graph(
            name,
            recipe.precisions()[name],  # type: ignore[arg-type]
            lambda part: ShapesOnly(shapes[part]),
            language,
            audio,
        )
        sizes[name] = graph.weight_bytes()
    if recipe.speaks:
        tables = sum(language.speech_vocab_sizes) + language.hidden_size
        sizes["patch_decoder"] += 4 * language.local_dim * tables
    for part, type in recipe.patch_stacks:
        sizes[part] = stack_bytes(part, language, type)
    return sizes
