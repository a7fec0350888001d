"""The demo model in float32: what it says and hears is the same on every machine.

The bundle that ships multiplies 4-bit weights with activations that are rounded to 8 bits. Another
processor, or other rows in the same batch, add up a sum in another order; a number beside the
border between two steps then goes the other way, and now and then a sound, and of twenty sentences
one word, becomes another one. Nobody hears which was meant, but a test that asks for words does.

So tests of what is around the model (servers, conversations, commands) run it in float32, where
another order changes the seventh digit. What they ask for by words they may ask for by sound, too:
a seed gives the same samples, alone and beside others.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from mimo_edge.installation import DEMO_MODEL
from mimo_edge.model import MimoAudio
from mimo_edge.stages.machine.runtime_options import RuntimeOptions

from .bundles import convert_checkpoint

__all__ = ["DEMO_CHECKPOINT", "DEMO_TOKENIZER", "EXACT_OPTIONS", "exact_demo", "load_exact_demo"]

DEMO_CHECKPOINT = DEMO_MODEL.with_name("demo-checkpoint") / "MiMo-Audio-Demo"
DEMO_TOKENIZER = DEMO_CHECKPOINT.with_name("MiMo-Audio-Demo-Tokenizer")
EXACT_OPTIONS = RuntimeOptions(kv_type="f32", flash_attention=False, device="cpu")
"""How llama.cpp keeps float32: in the cache, too."""


@functools.cache
def exact_demo() -> Path:
    """The bundle, which is made once in a process and gone when that ends."""
    folder = Path(tempfile.mkdtemp(prefix="mimo-edge-exact-demo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # By its name it is known what it was trained for.
    return convert_checkpoint(
        DEMO_CHECKPOINT, DEMO_TOKENIZER, folder / "bundle", "reference", name="MiMo-Audio-Demo"
    )


def load_exact_demo(**options: Any) -> MimoAudio:
    """The model; `options` as of `RuntimeOptions`, on top of `EXACT_OPTIONS`."""
    return MimoAudio.load(exact_demo(), replace(EXACT_OPTIONS, **options))
