"""Sound decoded beside the generation: whole, in order, without a click, at bounded cost."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mimo_edge.audio import read_audio
from mimo_edge.engine import Engine
from mimo_edge.errors import MimoEdgeError
from mimo_edge.generation.events import AudioChunk, Event, TurnEnd
from mimo_edge.generation.sound import SoundOptions, SoundThread
from mimo_edge.model import MimoAudio
from mimo_edge.prompt import prompts
from mimo_edge.prompt.positions import to_patches
from mimo_edge.stages.audio_tokenizer import DecoderStream
from mimo_edge.stages.graphs.graph import Graph, GraphState
from mimo_edge.stages.machine.placement import Placement
from mimo_edge.system.spare_cores import SpareCores
from mimo_edge.tasks import Overrides, task

GROUP = 4
PATCH_SAMPLES = 3840
Wave = NDArray[np.float32]


@pytest.fixture(scope="module")
def patches(engine: Engine, clips: dict[str, Path]) -> NDArray[np.int64]:
    """A recording's patches [patches, group, channels], 60 s of them."""
    one = to_patches(
        engine.audio_tokenizer.encode(read_audio(clips["question"], engine.manifest.audio)),
        engine.manifest.patch,
    )
    return np.resize(one, (375, *one.shape[1:]))


@pytest.fixture
def threads() -> Iterator[None]:
    """Asserts that no sound's thread is left."""
    yield
    assert not [thread for thread in threading.enumerate() if "sound" in thread.name]


class Recorder:
    """A stream's decoder and vocoder, which writes down how much they are given."""

    def __init__(self, engine: Engine, bundle: Path, lookahead: int | None = None) -> None:
        self.decoder = Graph.load(bundle, "audio_decoder", engine.manifest, Placement(threads=1))
        self.vocoder = Graph.load(bundle, "vocoder", engine.manifest, Placement(threads=1))
        self.frames: list[int] = []
        """Of every run of the vocoder."""
        self.cached: list[int] = []
        """Positions that the decoder saw of the past, in each of its runs."""
        graph: Any = self
        self.stream = DecoderStream(graph, graph, engine.manifest.audio, SpareCores(), lookahead)

    def fresh_state(self, feeds: Sequence[str]) -> GraphState:
        return self.decoder.fresh_state(feeds)

    def run_stateful(self, feeds: dict[str, Wave], state: GraphState, output: str) -> Wave:
        self.cached.append(state.cached)
        return self.decoder.run_stateful(feeds, state, output)

    def run(self, feeds: dict[str, Wave]) -> list[Wave]:
        self.frames.append(feeds["mel"].shape[1])
        return self.vocoder.run(feeds)


def play(stream: DecoderStream, patches: NDArray[np.int64], count: int) -> list[Wave]:
    """Chunks of pushes of `count` patches."""
    starts = range(0, len(patches), count)
    chunks = [stream.push(np.concatenate(patches[at : at + count])) for at in starts]
    return [chunk for chunk in (*chunks, stream.finish()) if len(chunk)]


def threaded(engine: Engine, options: SoundOptions) -> SoundThread:
    decoder = engine.audio_tokenizer.stream(options.lookahead)
    return SoundThread(decoder, engine.manifest.patch.group_size, options)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("lookahead", [None, 16])
def test_the_thread_gives_what_the_decoder_does(
    engine: Engine, patches: NDArray[np.int64], lookahead: int | None
) -> None:
    """Cut in the same places however fast patches come, so the sound is always the same."""
    some = patches[:30]
    waves = []
    for _ in range(2):
        sound = threaded(engine, SoundOptions(lookahead=lookahead))
        chunks: list[Wave] = []
        for patch in some:
            sound.push(patch)
            chunks += sound.ready()
        chunks += sound.finish()
        sound.close()
        waves.append(np.concatenate(chunks))
    np.testing.assert_array_equal(waves[0], waves[1])
    stream = engine.audio_tokenizer.stream(lookahead)
    first = -(-stream.first_steps // GROUP)
    parts, at = [], 0
    for count in (first, 1, 2, 4, 5, 5, 5, 5, 5):
        if at < len(some):
            parts.append(stream.push(np.concatenate(some[at : at + count])))
        at += count
    expected = np.concatenate([*parts, stream.finish()])
    np.testing.assert_array_equal(waves[0], expected)
    assert len(expected) == len(some) * PATCH_SAMPLES


@pytest.mark.parametrize("lookahead", [0, 1, 16, 48, 160])
def test_the_first_push_is_the_first_that_gives_sound(
    engine: Engine, patches: NDArray[np.int64], lookahead: int
) -> None:
    stream = engine.audio_tokenizer.stream(lookahead)
    steps = np.concatenate(patches)[: stream.first_steps]
    assert not len(stream.push(steps[:-1]))
    assert len(stream.push(steps[-1:]))


@pytest.mark.parametrize("lookahead", [0, 8, 16, None])
def test_chunks_join_without_a_click(
    engine: Engine, patches: NDArray[np.int64], lookahead: int | None
) -> None:
    """From the last sample of a chunk to the next one's first it is as far as anywhere else."""
    chunks = play(engine.audio_tokenizer.stream(lookahead), patches[:90], 1)
    jumps = np.abs(np.diff(np.concatenate(chunks)))
    seams = np.cumsum([len(chunk) for chunk in chunks])[:-1] - 1
    elsewhere = np.delete(jumps, seams)
    assert len(seams) >= 70
    assert jumps[seams].mean() <= 1.5 * elsewhere.mean()
    assert jumps[seams].max() <= elsewhere.max()


def test_a_second_of_speech_costs_the_same_after_a_minute(
    engine: Engine, reference_bundle: Path, patches: NDArray[np.int64]
) -> None:
    config = engine.manifest.audio
    recorder = Recorder(engine, reference_bundle)
    for start in range(0, len(patches), 5):
        recorder.stream.push(np.concatenate(patches[start : start + 5]))
    frames = 5 * GROUP * config.decode_stride
    most = config.vocoder_left + 2 + frames + config.vocoder_right + 2
    assert max(recorder.frames) == recorder.frames[-1] == most
    first, *later = recorder.cached
    per_step = later[0] // (5 * GROUP)
    assert first == 0 and max(later) <= 375 * per_step and 250 * per_step <= later[-1]


def test_less_lookahead_computes_less_of_the_past(
    engine: Engine, reference_bundle: Path, patches: NDArray[np.int64]
) -> None:
    config = engine.manifest.audio
    seen = []
    for lookahead in (config.vocoder_right // 4, config.vocoder_right):
        recorder = Recorder(engine, reference_bundle, lookahead)
        play(recorder.stream, patches[:120], 5)
        seen.append(max(recorder.frames))
    assert seen[0] < seen[1]


def test_more_lookahead_than_the_vocoder_has_is_as_good_as_all(
    engine: Engine, patches: NDArray[np.int64]
) -> None:
    every = play(engine.audio_tokenizer.stream(), patches[:20], 5)
    more = play(engine.audio_tokenizer.stream(lookahead=10_000), patches[:20], 5)
    np.testing.assert_array_equal(np.concatenate(more), np.concatenate(every))


def answer(model: MimoAudio, sound: SoundOptions | bool, **extra: Any) -> list[Event]:
    options = Overrides(max_new_tokens=60, seed=5)
    speech = task("speak", prompts.speak("The weather is nice today."), options)
    return list(model.stream(speech, sound=sound, **extra))


def end_of(events: list[Event]) -> TurnEnd:
    end = events[-1]
    assert isinstance(end, TurnEnd)
    return end


@pytest.mark.usefixtures("threads")
def test_sound_changes_no_token(reference_model: MimoAudio) -> None:
    """The same seed gives the same answer with sound, without it, and with a callback."""
    heard: list[Wave] = []
    plain = answer(reference_model, sound=False)
    events = answer(reference_model, sound=SoundOptions(lookahead=16))
    called = answer(reference_model, sound=SoundOptions(lookahead=16, on_samples=heard.append))
    ends = [end_of(list_of) for list_of in (plain, events, called)]
    for end in ends:
        np.testing.assert_array_equal(end.text_ids, ends[0].text_ids)
        np.testing.assert_array_equal(end.codes, ends[0].codes)
    chunks = [event.samples for event in events if isinstance(event, AudioChunk)]
    assert not any(isinstance(event, AudioChunk) for event in called)
    assert len(np.concatenate(chunks)) == ends[0].stats.patches * PATCH_SAMPLES > 0
    np.testing.assert_array_equal(np.concatenate(chunks), np.concatenate(heard))


@pytest.mark.usefixtures("threads")
def test_an_error_in_the_callback_reaches_the_caller(reference_model: MimoAudio) -> None:
    def fail(_: Wave) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer(reference_model, sound=SoundOptions(on_samples=fail))


@pytest.mark.usefixtures("threads")
def test_an_error_in_the_decoder_reaches_the_caller(
    engine: Engine, patches: NDArray[np.int64]
) -> None:
    """And `push` never waits for a thread that is not there any more."""
    sound = threaded(engine, SoundOptions())
    wrong = patches[0][:, :-1]
    for _ in range(300):
        sound.push(wrong)
    with pytest.raises(Exception, match="codes"):
        list(sound.finish())
    assert not list(sound.finish())
    sound.close()


@pytest.mark.usefixtures("threads")
def test_cancelling_drops_what_is_not_decoded(
    engine: Engine, reference_model: MimoAudio, patches: NDArray[np.int64]
) -> None:
    cancel, heard = threading.Event(), []
    decoder = engine.audio_tokenizer.stream(16)

    def stop(samples: Wave) -> None:
        heard.append(samples)
        cancel.set()

    sound = SoundThread(decoder, GROUP, SoundOptions(lookahead=16, on_samples=stop), cancel)
    for patch in patches[:60]:
        sound.push(patch)
    assert not list(sound.finish())
    sound.close()
    assert len(heard) == 1

    cancel.clear()
    options = SoundOptions(lookahead=16, on_samples=stop)
    (*_, end) = answer(reference_model, sound=options, cancel=cancel)
    assert isinstance(end, TurnEnd)


@pytest.mark.usefixtures("threads")
def test_a_sound_that_was_cancelled_ends_for_whoever_asks(
    engine: Engine, patches: NDArray[np.int64]
) -> None:
    """It was looked at before the language model came to its own end, which asks for the rest."""
    cancel = threading.Event()
    sound = SoundThread(engine.audio_tokenizer.stream(16), GROUP, SoundOptions(), cancel)
    cancel.set()
    for patch in patches[:60]:
        sound.push(patch)
    sound.close()
    assert not list(sound.ready())
    assert not list(sound.finish())


@pytest.mark.usefixtures("threads")
def test_closing_the_events_ends_the_thread(reference_model: MimoAudio) -> None:
    speech = task("speak", prompts.speak("Hello there."), Overrides(max_new_tokens=60, seed=5))
    events = reference_model.stream(speech, sound=True)
    next(events)
    events.close()


def test_closing_before_anything_was_pushed(engine: Engine) -> None:
    sound = threaded(engine, SoundOptions())
    sound.close()
    sound.close()
    sound = threaded(engine, SoundOptions())
    assert not list(sound.finish())
    sound.close()


def test_options_without_a_meaning() -> None:
    with pytest.raises(MimoEdgeError, match="lookahead is -1"):
        SoundOptions(lookahead=-1)
    with pytest.raises(MimoEdgeError, match="largest push is 0"):
        SoundOptions(largest_push=0)
