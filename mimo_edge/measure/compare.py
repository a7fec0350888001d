"""How far a quantized bundle is from its float32 reference.

Every stage gets the reference's input, so that the distances do not add up; only `hidden`
goes through patch encoder and backbone together, as a prompt does. What they come to together, in
whole answers, is in `answers_apart`.
"""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..audio import read_audio
from ..bundle.files import load_manifest
from ..bundle.manifest import Manifest
from ..engine import Engine
from ..errors import BadInputError
from ..prompt import prompts
from ..prompt.positions import to_patches
from ..stages.machine.runtime_options import RuntimeOptions
from ..stages.sampling import GREEDY
from .answers_apart import Apart, hear, listen_to, take_answers

__all__ = ["Distances", "measure"]

_EXACT_PRECISIONS = ("f32", "fp32")
"""What float32 is called: in the backbone's file, and in the graphs'."""
_LONGEST_S = 30
"""Of a clip, so much is used."""
_PATCHES = 16
"""Hidden states per clip that the patch decoders are compared on."""


@dataclass(frozen=True, kw_only=True)
class Distances:
    """How far one bundle is from the reference, over all clips."""

    name: str
    recipe: str
    megabytes: float
    codes: tuple[float, ...]
    """Share of equal codes per codebook, from the same log-mel."""
    embeddings: float
    """Relative error (root mean square) of the patch encoder, from the same codes."""
    hidden: float
    """Relative error of the backbone's hidden states at a prompt's patches."""
    patch_codes: float
    """Share of equal codes of the greedy patch decoder, from the same hidden states."""
    waveform: float
    """Relative error of the decoded waveform, from the same codes."""
    answers: Apart | None = None
    """How far whole answers are apart, if that was measured."""


@dataclass(frozen=True)
class _Reference:
    """What the reference bundle computes of one clip."""

    samples: NDArray[np.float32]
    codes: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    hidden: NDArray[np.float32]
    patch_codes: NDArray[np.int64]
    waveform: NDArray[np.float32]


def measure(
    reference: Path,
    bundles: Sequence[Path],
    clips: Sequence[str],
    *,
    threads: int = 0,
    answers: bool = True,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Distances]:
    """Distances of every bundle; bundles are loaded one at a time.

    With `answers`, whole answers are compared, too: that takes minutes of each clip with a large
    model. `tell` is told what is being done. Of each clip the first 30 seconds are used.

    Raises:
        MimoEdgeError: a bundle does not load or is not of the reference's checkpoint, or the
            reference is not in float32 throughout.
    """
    _check_bundles(reference, bundles)
    # A cache in half precision would round the reference itself. Without drafts, since guesses are
    # evaluated several at once, which rounds differently.
    exact = RuntimeOptions(
        threads=threads, kv_type="f32", flash_attention=False, drafting=False, full_head=True
    )
    results, said = [], []
    with tempfile.TemporaryDirectory(prefix="mimo_edge compare") as folder:
        with _loaded(reference, exact) as engine:
            expected = [_evaluate_reference(engine, clip) for clip in clips]
            heard = [each.samples for each in expected]
            known = take_answers(engine, heard, Path(folder), tell) if answers else []
        for path in bundles:
            with _loaded(path, RuntimeOptions(threads=threads)) as engine:
                tell(f"{engine.manifest.recipe}, stage by stage")
                results.append(_distances(engine, expected))
                said.append(listen_to(engine, known, tell))
    if not answers:
        return results
    with _loaded(reference, exact) as engine:
        tell("the reference listens to what the bundles spoke")
        return [
            replace(result, answers=Apart.of(spoken, hear(engine, spoken)))
            for result, spoken in zip(results, said, strict=True)
        ]


@contextlib.contextmanager
def _loaded(path: Path, options: RuntimeOptions) -> Iterator[Engine]:
    engine = Engine.load(path, options)
    try:
        yield engine
    finally:
        engine.close()


def _check_bundles(reference: Path, bundles: Sequence[Path]) -> None:
    """The reference is exact and all are of one checkpoint; before the work, from the manifests."""
    manifest = load_manifest(reference)
    rounded = [
        f"{part} ({precision})"
        for part, precision in manifest.precisions.items()
        if precision not in _EXACT_PRECISIONS
    ]
    if rounded:
        raise BadInputError(
            f"{reference} is rounded itself: {', '.join(rounded)}; a reference holds everything "
            "in float32, convert the checkpoint with the recipe 'reference'."
        )
    for path in (reference, *bundles):
        load_manifest(path).check_speaks()  # speech is what is compared
    for path in bundles:
        if _contents(load_manifest(path)) != _contents(manifest):
            raise BadInputError(
                f"{path} and {reference} are not made of the same checkpoint; convert both "
                "from one."
            )


def _contents(manifest: Manifest) -> list[str]:
    """Hashes of what a bundle was made from, wherever that lay and whatever it was called."""
    return sorted(file.sha256 for file in manifest.source)


def _evaluate_reference(engine: Engine, clip: str) -> _Reference:
    samples = read_audio(clip, engine.manifest.audio)
    samples = samples[: _LONGEST_S * engine.manifest.audio.sample_rate]
    codes = engine.audio_tokenizer.encode(samples)
    patches = to_patches(codes, engine.manifest.patch)
    hidden = _hidden(engine, patches)
    return _Reference(
        samples=samples,
        codes=codes,
        embeddings=engine.patch_encoder.encode(patches),
        hidden=hidden,
        patch_codes=_patch_codes(engine, hidden),
        waveform=engine.audio_tokenizer.decode(codes[:, : engine.manifest.patch.channels]),
    )


def _distances(engine: Engine, clips: Sequence[_Reference]) -> Distances:
    manifest = engine.manifest
    channels = manifest.patch.channels
    codes, embeddings, hidden, patch_codes, waveform = [], [], [], [], []
    for clip in clips:
        patches = to_patches(clip.codes, manifest.patch)
        codes.append(engine.audio_tokenizer.encode(clip.samples) == clip.codes)
        embeddings.append((engine.patch_encoder.encode(patches), clip.embeddings))
        hidden.append((_hidden(engine, patches), clip.hidden))
        patch_codes.append(_patch_codes(engine, clip.hidden) == clip.patch_codes)
        waveform.append((engine.audio_tokenizer.decode(clip.codes[:, :channels]), clip.waveform))
    return Distances(
        name=manifest.name,
        recipe=manifest.recipe,
        megabytes=sum(file.size for file in manifest.files) / 1e6,
        codes=tuple(float(share) for share in np.concatenate(codes).mean(axis=0)[:channels]),
        embeddings=_relative(embeddings),
        hidden=_relative(hidden),
        patch_codes=float(np.concatenate(patch_codes).mean()),
        waveform=_relative(waveform),
    )


def _hidden(engine: Engine, patches: NDArray[np.int64]) -> NDArray[np.float32]:
    """Hidden states [n, hidden] after the last patches of a transcription prompt."""
    prompt = engine.layout.positions(prompts.transcribe(patches))
    cache = engine.new_cache()
    try:
        start = max(1, len(prompt) - _PATCHES)
        states = [cache.append(prompt[:start]).hidden]
        states += [cache.append(prompt[at : at + 1]).hidden for at in range(start, len(prompt))]
    finally:
        cache.close()
    return np.stack(states)


def _patch_codes(engine: Engine, hidden: NDArray[np.float32]) -> NDArray[np.int64]:
    rng = np.random.default_rng(0)
    return np.stack([engine.patch_decoder.decode(state, GREEDY, rng) for state in hidden])


def _relative(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> float:
    """Root mean square of the difference ÷ root mean square of the reference."""
    difference = sum(float(((found - exact) ** 2).sum(dtype=np.float64)) for found, exact in pairs)
    scale = sum(float((exact**2).sum(dtype=np.float64)) for _, exact in pairs)
    return float(np.sqrt(difference / scale)) if scale else (math.inf if difference else 0.0)
