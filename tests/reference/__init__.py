"""A plain numpy evaluation of MiMo-Audio checkpoints, to judge the converter and the runtime by.

It is written from the description of the model and imports neither `convert`
nor `mimo_edge`: a mistake there cannot be repeated here by accident. Clarity
goes before speed; it is meant for checkpoints of a few megabytes.
"""

from __future__ import annotations

from .audio_tokenizer import AudioTokenizer
from .language_model import LanguageModel
from .weights import load_config, load_tensors, special_tokens

__all__ = ["AudioTokenizer", "LanguageModel", "load_config", "load_tensors", "special_tokens"]
