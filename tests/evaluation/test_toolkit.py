"""The engine as a model of the public toolkit, called as its evaluators call it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mimo_edge.bundle.default_bundle import find_bundle
from mimo_edge.errors import MimoEdgeError
from mimo_edge.evaluation.toolkit import ToolkitModel
from mimo_edge.tasks import Overrides
from tests.evaluation.conftest import DATA
from tests.tools.exact_demo import load_exact_demo

SPOKEN = Path(__file__).parent.parent / "data" / "demo"
SUM, MEMORY, WORDS = (str(SPOKEN / f"{name}.flac") for name in ("sum", "memory", "words"))
TWELVE = "seven plus five is twelve"


@pytest.fixture(scope="module")
def toolkit() -> Iterator[ToolkitModel]:
    """As `get_model(model, model_type, model_path, tokenizer_path, device)` makes its models."""
    overrides = Overrides(temperature=0, seed=1)
    with ToolkitModel(load_exact_demo(), "tokenizer", "cpu", overrides=overrides) as model:
        yield model


def test_a_bundle_is_loaded_by_its_folder() -> None:
    with ToolkitModel(str(find_bundle(None)), "tokenizer", "cpu") as model:
        assert model.model.manifest.name == "MiMo-Audio-Demo"


class Tensor:
    """What the evaluators pass of PyTorch: samples behind `detach`, `cpu` and `__array__`."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.samples.astype(dtype or self.samples.dtype)


def seconds(path: Path) -> float:
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.format) == (24000, 1, "WAV")
    return float(info.duration)


def test_asr(toolkit: ToolkitModel) -> None:
    """ASREvaluator: `asr_sft(audio_path, lang=…).split("(")[0]`. To the toolkit's own words the
    demo model says that it did not understand, so it is asked in the words of its training."""
    assert toolkit.asr_sft(WORDS, lang="en").split("(")[0] == "sun mountain river wood"


def test_tts(toolkit: ToolkitModel, tmp_path: Path) -> None:
    """TTSEvaluator: `tts_sft(ref, output_path=…)`, then the file is transcribed."""
    path = tmp_path / "0.wav"
    text = toolkit.tts_sft("river mountain", output_path=path)
    assert text == "river mountain" and seconds(path) > 0.5
    assert toolkit.model.transcribe(path).text == "river mountain"


def test_spoken_dialogue(toolkit: ToolkitModel, tmp_path: Path) -> None:
    """BigBenchAudioEvaluator: a tensor [1, n] at 24 kHz, a path as string, a voice."""
    samples, _ = soundfile.read(SUM, dtype="float32")
    path = tmp_path / "1.wav"
    answer = toolkit.spoken_dialogue_sft(
        Tensor(samples[None]),
        output_audio_path=str(path),
        prompt_speech=str(SPOKEN / "voice-slt.flac"),
    )
    assert answer == TWELVE and seconds(path) > 1
    assert toolkit.speech2text_dialogue_sft(Tensor(samples[None])) == TWELVE
    assert toolkit.text_dialogue_sft("What is seven plus five?") == TWELVE


def test_history_goes_on_until_it_is_cleared(toolkit: ToolkitModel, tmp_path: Path) -> None:
    toolkit.clear_history()
    path = tmp_path / "2.wav"
    toolkit.spoken_dialogue_sft(SUM, path, add_history=True)
    said = toolkit.spoken_dialogue_sft(MEMORY, path, add_history=True)
    assert said == "you said what is seven plus five"
    toolkit.clear_history()
    assert "seven" not in toolkit.spoken_dialogue_sft(MEMORY, path, add_history=True)


def test_conversations_in_both_notations(toolkit: ToolkitModel, tmp_path: Path) -> None:
    """MultiChallengeEvaluator passes speech and text beside each other; the release one list."""
    answer = tmp_path / "answer.wav"
    toolkit.spoken_dialogue_sft(SUM, answer)
    speech: list[dict[str, Any]] = [
        {"role": "user", "content": SUM},
        {"role": "assistant", "content": str(answer)},
        {"role": "user", "content": MEMORY},
    ]
    text = [
        {"role": "user", "content": "what is seven plus five"},
        {"role": "assistant", "content": TWELVE},
        {"role": "user", "content": "what did i just say"},
    ]
    wanted, path = "you said what is seven plus five", tmp_path / "3.wav"
    said = toolkit.spoken_dialogue_sft_multiturn(
        speech, text, output_audio_path=path, prompt_speech=None
    )
    assert said == wanted and seconds(path) > 1
    both = {"text": TWELVE, "audio": str(answer)}
    released: list[dict[str, Any]] = [speech[0], {"role": "assistant", "content": both}, speech[2]]
    assert toolkit.spoken_dialogue_sft_multiturn(released, str(tmp_path / "4.wav")) == wanted
    assert seconds(tmp_path / "4.wav") > 1
    assert toolkit.speech2text_dialogue_sft_multiturn(speech, text) == wanted
    assert toolkit.text_dialogue_sft_multiturn(text) == wanted


def test_questions_about_recordings(toolkit: ToolkitModel) -> None:
    """MMSUEvaluator and MMAUEvaluator; the demo model answers what is said, or writes it down."""
    heard = toolkit.audio_understanding_sft(SUM, input_text="What is said?", thinking=False)
    assert "seven" in heard
    instruction = [
        {
            "from": "human",
            "value": [
                {"type": "text", "value": "<sound>What is said?"},
                {"type": "sound", "value": SUM},
            ],
        }
    ]
    answer = toolkit.instruction_following(
        instruction, append_generation_prompt=True, thinking=False
    )
    assert answer == heard  # the same prompt
    two = [{"type": "text", "value": "<sound> and <sound>"}, {"type": "sound", "value": [SUM]}]
    with pytest.raises(MimoEdgeError, match="2 times <sound>, and 1 recordings"):
        toolkit.instruction_following([{"from": "human", "value": two}])


def prompts(kind_in: str, kind_out: str) -> list[tuple[dict[str, Any], str, str]]:
    """As SpeechMMLUEvaluator.get_prompt makes them, of the small set."""
    folder = DATA / "SpeechMMLU" / "audio" / "sums"
    voice = folder / "prompts" / "sums_english_prompt_001"

    def said(text: str, path: Path) -> dict[str, Any]:
        return {"text": text, "speech": path}

    return [
        (said("can you help", voice / "sums_beginning.mp3"), kind_in, "input"),
        (said("what is", voice / "sums_0_question_and_choices.mp3"), kind_in, "input"),
        (said("is", voice / "sums_0_answer.mp3"), kind_out, "output"),
        (said("what is one plus five", folder / "data" / "sums_0.mp3"), kind_in, "input"),
    ]


def test_few_shot_prompts(toolkit: ToolkitModel, tmp_path: Path) -> None:
    """SpeechMMLUEvaluator: `gen_text(prompts)`, `gen_speech(prompts, path)`; 10 and 25 positions,
    whatever the demo model makes of a form that it was never shown."""
    for kind in ("speech", "text"):
        assert len(toolkit.gen_text(prompts(kind, "text")).split()) <= 10
        path = tmp_path / f"{kind}.wav"
        text = toolkit.gen_speech(prompts(kind, "speech"), path)
        assert isinstance(text, str) and 0 < seconds(path) <= 25 * 0.16


def test_base_questions(toolkit: ToolkitModel) -> None:
    """MMAUEvaluator of a base model: `qa` and `few_shots_qa`, the last entry without an answer."""
    assert isinstance(toolkit.qa(SUM, "What is said?"), str)
    example = {"audio": WORDS, "question": "What is said?", "answer": "sun", "audio_path": WORDS}
    asked = {"audio": SUM, "question": "What is said?", "audio_path": SUM}
    assert isinstance(toolkit.few_shots_qa([example, asked]), str)


def test_speech_to_speech_by_examples(toolkit: ToolkitModel, tmp_path: Path) -> None:
    """GeneralS2SEvaluator by name; the release's class with an instruction in front."""
    example = {"audio": WORDS, "label": WORDS, "label_transcription": "sun mountain river wood"}
    path = tmp_path / "5.wav"
    toolkit.in_context_learning_s2s(prompt_examples=[example], audio=SUM, output_path=path)
    assert seconds(path) > 0
    released = {
        "input_audio": WORDS,
        "output_audio": WORDS,
        "output_transcription": "sun mountain river wood",
    }
    path = tmp_path / "6.wav"
    toolkit.in_context_learning_s2s("Say it again.", [released], SUM, 30, str(path))
    assert 0 < seconds(path) <= 30 * 0.16
    with pytest.raises(MimoEdgeError, match="none of audio, input_audio"):
        toolkit.in_context_learning_s2s(prompt_examples=[{}], audio=SUM, output_path=path)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "the last message is no user's"),
        ([{"role": "assistant", "content": "x"}], "message 1 is of 'assistant'"),
        ([{"role": "user", "content": "x"}] * 2, "message 2 is of 'user'"),
    ],
)
def test_what_is_no_conversation_is_refused(
    messages: list[dict[str, str]], said: str, toolkit: ToolkitModel
) -> None:
    with pytest.raises(MimoEdgeError, match=said):
        toolkit.text_dialogue_sft_multiturn(messages)
