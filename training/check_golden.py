"""Prove the modules: load the golden checkpoint, reproduce the golden numbers.

`python -m training.check_golden [tests/data/golden]`
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from training.audio_modules import AudioTokenizer
from training.generate import Generator, Sampler
from training.lm_modules import LanguageModel, dashes
from training.mel import LogMel
from training.sequences import ASR_INSTRUCTION, Stream, to_patches


def say(name: str, value: object) -> None:
    """One line of the report."""
    sys.stdout.write(f"{name:32} {value}\n")


def check_audio(folder: Path, golden: dict[str, np.ndarray]) -> None:
    """Mel, codes and waveforms."""
    config = json.loads((folder / "config.json").read_text())
    model = AudioTokenizer(config).eval()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    mel = LogMel(mels=config["n_mels"])
    for clip in ("question", "short", "tiny", "voice"):
        wave, _ = soundfile.read(folder.parents[1] / "audio" / f"{clip}.wav", dtype="float32")
        frames = mel(torch.from_numpy(wave)[None])
        codes = model.encode(frames)[0].T.numpy()
        if f"mel/{clip}" in golden:
            say(f"mel/{clip}", np.abs(frames[0].numpy() - golden[f"mel/{clip}"]).max())
        say(f"codes/{clip} equal", (codes == golden[f"codes/{clip}"]).mean())
        if f"decode/{clip}" in golden:
            wave = model.decode(torch.from_numpy(golden[f"codes/{clip}"][:8].T).long()[None])
            say(f"decode/{clip}", np.abs(wave[0].numpy() - golden[f"decode/{clip}"]).max())


def check_language(folder: Path, golden: dict[str, np.ndarray]) -> None:
    """Hidden state, logits, patch decoder and greedy generation."""
    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = LanguageModel(config, tokenizer.token_to_id("<|empty|>")).eval()
    state = {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    model.load_state_dict(state)
    greedy = Sampler(temperature=0.0)
    generator = Generator(model, seed=0)
    out = generator.patches(torch.from_numpy(golden["local/in"]), greedy)
    say("local/out equal", (out.numpy() == golden["local/out"]).mean())
    prompts = json.loads((folder.parents[1] / "golden.json").read_text())["prompts"]
    names = {"eos": "<|endoftext|>", "im_end": "<|im_end|>", "eostm": "<|eostm|>"}
    for name, prompt in prompts.items():
        matrix = torch.from_numpy(golden[f"prompt/{name}"]).long()
        text, codes = matrix[0, ::4], matrix[1:].T.unflatten(0, (-1, 4))
        with torch.no_grad():
            hidden = model.model(model.embed(text[None], codes[None]))[0, -1]
        stops = {tokenizer.token_to_id(names[stop]) for stop in prompt["stops"]}
        new_text, new_codes = generator.run(text, codes, stops, 24, greedy, greedy)
        wanted = torch.from_numpy(golden[f"greedy/{name}"]).long()
        say(
            name,
            f"hidden {np.abs(hidden.numpy() - golden[f'hidden/{name}']).max():.1e} logits "
            f"{np.abs(model.lm_head(hidden).detach().numpy() - golden[f'logits/{name}']).max():.1e}"
            f" text {torch.equal(new_text, wanted[0, ::4])} codes "
            f"{torch.equal(new_codes, wanted[1:].T.unflatten(0, (-1, 4)))}",
        )


def check_prompts(folder: Path, golden: dict[str, np.ndarray]) -> None:
    """The training sequences are the released prompts."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    empty = dashes(config["speech_zeroemb_idx"], 8)
    clips = {name: to_patches(golden[f"patched/{name}"]) for name in ("question", "short", "voice")}
    streams = {name: Stream(tokenizer, empty) for name in ("asr", "tts_en", "tts_upper", "s2t")}
    streams |= {name: Stream(tokenizer, empty) for name in ("dialogue_multi", "text")}
    streams["asr"].user_speech(clips["question"], ASR_INSTRUCTION)
    streams["asr"].ask_text()
    streams["s2t"].user_speech(clips["question"])
    streams["s2t"].ask_text()
    streams["tts_en"].tts_prompt("The weather is nice today.")
    streams["tts_upper"].tts_prompt("HELLO")
    streams["text"].user_text("Hello there.")
    streams["text"].ask_text()
    dialogue = streams["dialogue_multi"]
    dialogue.voice(clips["voice"])
    dialogue.user_speech(clips["question"], system="You are a kind guide.")
    dialogue.ask_speech()
    answer = "I can not see the weather, tell me your city first."
    dialogue.spoken(answer, clips["voice"], learn=False)
    dialogue.end_turn(learn=False)
    dialogue.user_speech(clips["short"])
    dialogue.ask_speech()
    for name, stream in streams.items():
        wanted = golden[f"prompt/{name}"]
        codes = np.concatenate(stream.codes).T
        same = np.array_equal(stream.text, wanted[0, ::4]) and np.array_equal(codes, wanted[1:])
        say(f"prompt {name} equal", same)


if __name__ == "__main__":
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/golden")
    numbers = dict(np.load(root / "golden.npz"))
    check_audio(root / "checkpoint/MiMo-Audio-Tokenizer", numbers)
    check_language(root / "checkpoint/MiMo-Audio-7B-Instruct", numbers)
    check_prompts(root / "checkpoint/MiMo-Audio-7B-Instruct", numbers)
