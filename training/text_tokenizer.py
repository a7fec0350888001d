"""A byte-level BPE in which every word of the domain is one token.

Same normalizer, pre-tokenizer and special tokens as the released models' (Qwen2's);
the special tokens come last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

from training import domain

SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> "
    "<|box_end|> <|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> "
    "<|image_pad|> <|video_pad|> <tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> "
    "<|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|> <|sosp|> <|eosp|> <|empty|> <|Human|> "
    "<|SpeechLM|> <|sostm|> <|eostm|> <|eot|>"
).split()
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATES = (
    "user\n",
    "assistant\n",
    "system\n",
    "<think>\n\n</think>\n",
    "Please transcribe this audio file",
    "Please convert this text to speech:",
    "Your voice should be:",
    "You are a helpful assistant.",
    "请将这段语音转换为文字",
    "请将这段文字转换为语音:",
    "你需要根据指定的风格指令和文本内容来生成语音。",
    "你需要根据指定的风格指令和文本内容来生成和语音prompt具有相同音色的语音。你的音色应该是：",
    "a?",
    "a.",
    "a!",
)


def corpus() -> Iterator[str]:
    """Everything that should become few tokens."""
    for word in domain.WORDS:
        for form in (word, word.capitalize()):
            yield from (form, f" {form}")
    yield from TEMPLATES


def build() -> Tokenizer:
    """Merge until nothing of the corpus is left apart."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = Split(Regex(PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = Sequence(
        [split, ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000,
        min_frequency=1,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    special = [AddedToken(name, special=True, normalized=False) for name in SPECIAL]
    tokenizer.add_special_tokens(special)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """The four files of a released checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    model = json.loads(tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
    flags = {"lstrip": False, "normalized": False, "rstrip": False}
    flags |= {"single_word": False, "special": True}
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(name)): {"content": name, **flags} for name in SPECIAL
        },
        "additional_special_tokens": [],
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|endoftext|>",
        "errors": "replace",
        "model_max_length": 8192,
        "pad_token": "<|endoftext|>",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1, ensure_ascii=False))
