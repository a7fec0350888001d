"""The test of a finished bundle: every part is loaded and run once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..bundle.manifest import Manifest
from ..engine import Engine, run_to_end
from ..errors import BadBundleError
from ..prompt import prompts
from ..stages.damage import DamagedWeightsError
from ..stages.machine.runtime_options import RuntimeOptions
from ..stages.sampling import SamplerOptions
from ..tasks import Overrides, task

__all__ = ["check_bundle"]

_SENTENCE = "The weather is nice today."
_POSITIONS = 16
_CONTEXT = 512


def check_bundle(folder: Path, manifest: Manifest, *, threads: int = 0) -> str:
    """Run a second of sound and a short sentence through all stages; says what ran.

    Raises:
        MimoEdgeError: a part does not load, or computes numbers that are none.
    """
    context = min(_CONTEXT, manifest.backbone.max_positions)
    engine = Engine.load(folder, RuntimeOptions(threads=threads, context=context), manifest)
    try:
        return _run(engine)
    except DamagedWeightsError as error:
        raise BadBundleError(
            f"the converted model does not compute ({error.fault}): its checkpoint is damaged; "
            "download it again."
        ) from error
    finally:
        engine.close()


def _run(engine: Engine) -> str:
    rate = engine.manifest.audio.sample_rate
    seconds = np.arange(rate) / rate
    # A rising tone: any sound will do to see that the numbers are sane.
    tone = 0.5 * np.sin(2 * np.pi * (200 + 400 * seconds) * seconds)
    heard = engine.hearing.listen(tone.astype(np.float32))
    speaks = engine.manifest.speaks
    pieces = [*prompts.transcribe(heard), *(prompts.speak(_SENTENCE) if speaks else ())]
    overrides = Overrides(max_new_tokens=_POSITIONS, seed=0)
    name = "speak" if speaks else "transcribe"
    cache = engine.new_cache()
    try:
        events = engine.events(task(name, pieces, overrides), cache)
        answer = engine.answer(run_to_end(events), speaks=speaks)
        output = cache.append(engine.layout.audio(heard[:1]))
    finally:
        cache.close()
    if speaks:  # whatever was sampled above, the patch decoder and the vocoder run at least here
        rng = np.random.default_rng(0)
        patch = engine.patch_decoder.decode(output.hidden, SamplerOptions(), rng)
        engine.audio_tokenizer.decode(np.concatenate([*heard, patch]))
    return (
        f"every part loads and runs ({len(heard)} patches heard, "
        f"{answer.stats.text_tokens} tokens and {answer.stats.patches} patches generated)"
    )
