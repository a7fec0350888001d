"""Checkpoints that differ from the released ones, judged by the numpy evaluation.

`second` differs wherever its config allows it: widths, 4 codebooks, group size 2, delays
0-1-1-3, other dimensions in the patch encoder and decoder, other windows, 16 kHz, a bfloat16
audio tokenizer, a short `codebook_size`, control tokens missing from the tokenizer. `bare`
lacks what a config may go without: pooling, skip layer, full attention, tokenizer.json.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.recipes import RECIPES
from mimo_edge.audio import log_mel, read_audio
from mimo_edge.engine import Engine
from mimo_edge.generation.answer import GenerationOptions
from mimo_edge.generation.events import AudioChunk, TurnEnd
from mimo_edge.model import MimoAudio
from mimo_edge.prompt import prompts
from mimo_edge.prompt.positions import InterleavedPiece, Piece, Positions, to_patches
from mimo_edge.stages.machine.runtime_options import RuntimeOptions
from mimo_edge.stages.sampling import GREEDY
from mimo_edge.tasks import Overrides, task
from tests import reference
from tests.golden.folder import relative
from tests.reference.language_model import NOT_A_TOKEN
from tests.tools.bundles import convert_checkpoint
from tests.tools.random_checkpoint import Checkpoint, make_checkpoint

AUDIO = Path(__file__).parents[2] / "data" / "golden" / "audio"
EXACT = RuntimeOptions(threads=1, context=512, kv_type="f32", flash_attention=False, device="cpu")
QUICK = Overrides(max_new_tokens=24, seed=1)
OTHERS = [recipe.name for recipe in RECIPES if recipe.name not in ("reference", "default")]
MOST_STEPS = 16
STOPS = ("<|endoftext|>", "<|im_end|>", "<|eostm|>")
MADE_RATES = {"second": 16000, "bare": 24000}

Patches = NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """One random checkpoint, what numpy makes of it, and the engine to be judged."""

    profile: str
    checkpoint: Checkpoint
    bundle: Path
    engine: Engine
    audio: reference.AudioTokenizer
    language: reference.LanguageModel

    def sound(self, clip: str) -> NDArray[np.float32]:
        """A clip at the checkpoint's own rate."""
        return read_audio(AUDIO / f"{clip}.wav", self.engine.manifest.audio)


@pytest.fixture(scope="module", params=MADE_RATES)
def case(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Case]:
    folder = tmp_path_factory.mktemp(request.param)
    checkpoint = make_checkpoint(folder / "checkpoint", request.param)
    bundle = convert_checkpoint(checkpoint.model, checkpoint.tokenizer, folder / "bundle")
    engine = Engine.load(bundle, EXACT)
    yield Case(
        profile=request.param,
        checkpoint=checkpoint,
        bundle=bundle,
        engine=engine,
        audio=reference.AudioTokenizer(checkpoint.tokenizer),
        language=reference.LanguageModel(checkpoint.model),
    )
    engine.close()


def matrix_of(positions: Positions, group: int) -> NDArray[np.int32]:
    """Positions as the reference's prompt matrix [1 + channels, group · positions]."""
    count, _, channels = positions.codes.shape
    matrix = np.full((1 + channels, count * group), NOT_A_TOKEN, dtype=np.int32)
    matrix[0, ::group] = positions.text_ids
    matrix[1:] = positions.codes.transpose(2, 0, 1).reshape(channels, -1)
    return matrix


def tasks_of(question: Patches, voice: Patches) -> dict[str, Sequence[Piece]]:
    """A prompt of every shape: audio in, text in, a voice, an interleaved answer."""
    spoken = InterleavedPiece("It is sunny, and it will stay so for a week.", voice)
    turns = [
        prompts.Exchange(request=question, answer=spoken),
        prompts.Exchange(request=question[:4]),
    ]
    return {
        "transcribe": prompts.transcribe(question),
        "understand": prompts.understand(question, "What is it about?", thinking=True),
        "speak": prompts.speak("The weather is nice today."),
        "speak with a voice": prompts.speak("你好", style="开心", voice=voice),
        "dialogue": prompts.conversation(turns, "speech", system="Be kind.", voice=voice),
        "text": prompts.conversation([prompts.Exchange(request="Hello there.")], "text"),
        "few-shot": prompts.few_shot("Say it again.", [(question, voice, "Yes.")], question),
        "continue": prompts.continue_speech(voice),
    }


TASKS = tuple(tasks_of(np.zeros((5, 1, 1), np.int64), np.zeros((1, 1, 1), np.int64)))


@pytest.fixture(scope="module")
def every_task(case: Case) -> dict[str, Positions]:
    question, voice = (
        case.engine.hearing.listen(case.sound(clip)) for clip in ("question", "voice")
    )
    return {
        name: case.engine.layout.positions(pieces)
        for name, pieces in tasks_of(question, voice).items()
    }


@pytest.mark.parametrize("clip", ["question", "short", "tiny"])
def test_log_mel_and_codes(case: Case, clip: str) -> None:
    sound = case.sound(clip)
    found, expected = log_mel(sound, case.engine.manifest.audio), case.audio.log_mel(sound)
    assert found.shape == expected.shape
    assert np.abs(np.exp(found) - np.exp(expected)).max() <= 1e-5 * np.exp(expected).max()
    codes = case.engine.audio_tokenizer.encode(sound)
    assert codes.shape[1] == case.engine.manifest.audio.num_quantizers
    np.testing.assert_array_equal(codes, case.audio.encode(sound))
    np.testing.assert_array_equal(
        to_patches(codes, case.engine.manifest.patch), case.language.to_patches(codes)
    )


def test_the_sampling_rate_is_the_checkpoints(case: Case) -> None:
    rate = case.engine.manifest.audio.sample_rate
    assert rate == MADE_RATES[case.profile]
    codes = case.engine.audio_tokenizer.encode(case.sound("question"))
    heard = case.engine.audio_tokenizer.decode(codes[:, : case.language.channels])
    seconds = len(case.sound("question")) / rate
    assert len(heard) == len(codes) * case.audio.samples_per_step
    assert len(heard) / rate == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize("clip", ["question", "voice"])
def test_decode(case: Case, clip: str) -> None:
    codes = case.engine.audio_tokenizer.encode(case.sound(clip))[:, : case.language.channels]
    expected = case.audio.decode(codes)
    assert relative(case.engine.audio_tokenizer.decode(codes), expected) <= 1e-3
    stream = case.engine.audio_tokenizer.stream()
    assert relative(np.concatenate([stream.push(codes), stream.finish()]), expected) <= 1e-3


def test_streaming_gives_every_sample(case: Case) -> None:
    codes = case.engine.audio_tokenizer.encode(case.sound("short"))[:, : case.language.channels]
    for steps in (1, case.language.group, 7):
        stream = case.engine.audio_tokenizer.stream()
        parts = [stream.push(codes[i : i + steps]) for i in range(0, len(codes), steps)]
        samples = np.concatenate([*parts, stream.finish()])
        assert len(samples) == len(codes) * case.audio.samples_per_step
        assert np.isfinite(samples).all()


def test_patch_encoder(case: Case) -> None:
    """Recorded patches, and patches with empty codes in them, which add nothing."""
    patches = case.engine.hearing.listen(case.sound("question")).copy()
    empty = np.array(case.language.empty_codes)
    patches[0] = empty
    patches[1, 0, -1] = empty[-1]
    found = case.engine.patch_encoder.encode(patches)
    assert relative(found, case.language.encode_patches(patches)) <= 1e-3


def test_patch_decoder(case: Case) -> None:
    rng = np.random.default_rng(0)
    width = case.engine.manifest.patch.local_dim
    for x in rng.standard_normal((16, width), dtype=np.float32):
        found = case.engine.patch_decoder.decode_from(x, GREEDY, rng)
        np.testing.assert_array_equal(found, case.language.decode_patch(x))


@pytest.mark.parametrize("name", TASKS)
def test_hidden_state_and_logits(case: Case, every_task: dict[str, Positions], name: str) -> None:
    embeds = case.language.embed(matrix_of(every_task[name], case.language.group))
    hidden = case.language.hidden(embeds)[-1]
    cache = case.engine.new_cache()
    try:
        assert relative(case.engine.caches.embed(every_task[name]), embeds) <= 1e-3
        output, _ = cache.prefill(every_task[name])
    finally:
        cache.close()
    assert relative(output.hidden, hidden) <= 1e-3
    assert relative(output.logits, case.language.logits(hidden)) <= 1e-3


@pytest.fixture(scope="module")
def expected(case: Case, every_task: dict[str, Positions]) -> Callable[[str], NDArray[np.int32]]:
    """What numpy generates greedily for a task: [1 + channels, group · steps]."""
    language = case.language
    stops = {language.special_tokens[stop] for stop in STOPS}

    @functools.cache
    def generate(name: str) -> NDArray[np.int32]:
        return language.generate(matrix_of(every_task[name], language.group), stops, MOST_STEPS)

    return generate


@pytest.mark.parametrize("name", TASKS)
def test_greedy_generation(
    case: Case,
    every_task: dict[str, Positions],
    expected: Callable[[str], NDArray[np.int32]],
    name: str,
) -> None:
    engine, language = case.engine, case.language
    options = GenerationOptions(text=GREEDY, codes=GREEDY, stops=STOPS, max_new_tokens=MOST_STEPS)
    cache = engine.new_cache()
    try:
        steps = list(engine.generation.steps(cache, every_task[name], options))
    finally:
        cache.close()
    empty = np.broadcast_to(language.empty_codes, (language.group, language.channels))
    patches = [empty if step.patch is None else step.patch for step in steps]
    wanted = expected(name)
    np.testing.assert_array_equal([step.text_id for step in steps], wanted[0, :: language.group])
    np.testing.assert_array_equal(np.concatenate(patches).T, wanted[1:])


def test_generation_speaks_and_writes(
    case: Case, expected: Callable[[str], NDArray[np.int32]]
) -> None:
    """The comparison above would be empty if nothing but text, or nothing but speech, came."""
    group = case.language.group
    ids = np.concatenate([expected(name)[0, ::group] for name in TASKS])
    assert 0.02 < np.mean(ids == case.language.empty_token) < 0.98


def test_missing_control_tokens_are_appended(case: Case) -> None:
    expected = case.language.special_tokens
    found = case.engine.manifest.special_tokens
    assert {name: expected[name] for name in found} == dict(found)
    assert len(set(found.values())) == len(found)
    ids = case.engine.backbone.tokenize("<|sostm|> <|eot|>")
    assert not set(ids) & set(found.values())


def use(model: MimoAudio) -> None:
    """Every kind of task once; the answers of random weights mean nothing."""
    question = AUDIO / "question.wav"
    assert model.transcribe(question, overrides=QUICK).audio is None
    assert model.ask(question, "Who speaks?", overrides=QUICK).stats.prompt_positions > 0
    answer = model.speak("Hello.", style="calm", voice=AUDIO / "voice.wav", overrides=QUICK)
    steps = len(answer.codes)
    if answer.audio is not None:
        samples = model.manifest.audio.samples_per_step
        assert answer.audio.shape == (steps * samples,)
        assert np.isfinite(answer.audio).all()
    with model.session(voice=AUDIO / "voice.wav", overrides=QUICK) as session:
        first = session.ask(question)
        second = session.ask(AUDIO / "short.wav")
        assert first.stats.cached_positions == 0
        assert second.stats.cached_positions >= first.stats.prompt_positions
        assert session.ask(text="And now?", reply="text").audio is None
    decoded = model.decode(model.encode(question))
    assert np.isfinite(decoded).all()


def test_tasks(case: Case) -> None:
    use(MimoAudio(case.engine))


def test_streamed_speech(case: Case) -> None:
    model = MimoAudio(case.engine)
    speech = task("speak", prompts.speak("The weather is nice today."), QUICK)
    events = list(model.stream(speech, sound=True))
    end = events[-1]
    assert isinstance(end, TurnEnd)
    samples = sum(len(event.samples) for event in events if isinstance(event, AudioChunk))
    answer = case.engine.answer(end, speaks=True)
    assert samples == (0 if answer.audio is None else len(answer.audio))


@pytest.mark.parametrize(
    "recipe", ["default", *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)]
)
def test_every_recipe_converts_and_runs(case: Case, tmp_path: Path, recipe: str) -> None:
    checkpoint = case.checkpoint
    bundle = convert_checkpoint(checkpoint.model, checkpoint.tokenizer, tmp_path / "b", recipe)
    with MimoAudio.load(bundle, RuntimeOptions(threads=1, context=512, device="cpu")) as model:
        assert model.manifest.recipe == recipe
        use(model)
