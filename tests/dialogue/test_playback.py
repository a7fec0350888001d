"""Playback with a simulated clock: a generator at a steady or unsteady rate, a speaker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mimo_edge.dialogue.playback import Playback, PlaybackSettings
from mimo_edge.errors import MimoEdgeError

RATE = 1000
BLOCK = 20
FADE = 5
SETTINGS = PlaybackSettings(expected_answer_s=8)


class Heard:
    """What came out of the speaker, and when."""

    def __init__(self) -> None:
        self.sound = np.zeros(0, dtype=np.float32)
        self.start: float | None = None
        """Seconds from `begin` to the first sound."""
        self.factor_while_waiting: float | None = None
        self.first_wait: tuple[float, float] | None = None
        """(time, seconds to wait) when a wait was first predicted."""


def steady(count: int, piece_s: float, factor: float, first_s: float = 0.5) -> list[float]:
    """Times at which `count` pieces arrive, and the time of the end after them."""
    times = [first_s + factor * piece_s * index for index in range(count)]
    return [*times, times[-1]]


def simulate(player: Playback, times: list[float], piece_s: float = 0.8) -> Heard:
    """Play an answer whose pieces arrive at `times` (the last one: its end) to the end."""
    heard, blocks, arrivals = Heard(), [], iter(times)
    piece = np.ones(round(piece_s * RATE), dtype=np.float32)
    player.begin()
    following, left = next(arrivals), len(times)
    for tick in range(100_000):
        now = tick * BLOCK / RATE
        while left and following <= now:
            left -= 1
            if left:
                player.push(piece, following)
                following = next(arrivals)
            else:
                player.finish()
        wait = player.wait
        if wait is not None and heard.first_wait is None:
            heard.first_wait = now, wait.seconds
            heard.factor_while_waiting = wait.factor
        blocks.append(player.pull(BLOCK))
        if heard.start is None and blocks[-1].any():
            heard.start = now
        if player.state == "idle":
            break
    blocks.append(player.pull(BLOCK))
    heard.sound = np.concatenate(blocks)
    return heard


def gaps(sound: np.ndarray) -> int:
    """Silences within the sound."""
    inner = np.trim_zeros(sound) != 0
    return int(np.count_nonzero(np.diff(inner.astype(int)) == -1))


def largest_step(sound: np.ndarray) -> float:
    return float(np.abs(np.diff(sound, prepend=0, append=0)).max())


def test_a_fast_machine_starts_with_its_second_piece() -> None:
    player = Playback(RATE, SETTINGS)
    heard = simulate(player, steady(10, 0.8, 0.4))
    assert heard.start == pytest.approx(0.5 + 0.32, abs=0.03)
    assert (player.underruns, gaps(heard.sound)) == (0, 0)
    assert heard.first_wait is None


def test_a_known_rate_starts_with_the_first_piece() -> None:
    player = Playback(RATE, PlaybackSettings(expected_factor=0.4))
    heard = simulate(player, steady(10, 0.8, 0.4))
    assert heard.start == pytest.approx(0.5, abs=0.03)
    assert player.underruns == 0
    second = simulate(player, steady(10, 0.8, 0.4))  # now it is measured
    assert second.start == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("factor", [0.3, 0.8, 0.95, 1.0, 1.2, 2.0, 3.5])
@pytest.mark.parametrize("seconds", [3.2, 8.0])
def test_a_steady_rate_never_runs_dry(factor: float, seconds: float) -> None:
    player = Playback(RATE, SETTINGS)
    heard = simulate(player, steady(round(seconds / 0.8), 0.8, factor))
    assert (player.underruns, gaps(heard.sound)) == (0, 0)
    assert player.played == round(seconds * RATE)


def test_a_slow_machine_says_so_and_waits_as_long_as_it_says() -> None:
    player = Playback(RATE, SETTINGS)
    heard = simulate(player, steady(10, 0.8, 2.0))
    assert heard.factor_while_waiting == pytest.approx(2.0)
    assert heard.first_wait is not None
    assert heard.start is not None
    told_at, wait = heard.first_wait
    # Sound comes in pieces that take 1.6 s each, so the start is up to one of them later.
    assert told_at + wait - 0.1 <= heard.start <= told_at + wait + 1.6
    # Half of the work of 16 s has to be done before 8 s of sound can be played over the rest.
    assert 7.5 < heard.start < 14


def test_the_length_of_earlier_answers_is_learned() -> None:
    player = Playback(RATE, SETTINGS)
    times = steady(4, 0.8, 1.5)
    first = simulate(player, times)
    assert first.start == pytest.approx(times[-1], abs=0.03)  # 8 s expected: all of it is awaited
    second = simulate(player, times)
    assert second.start is not None
    assert second.start < times[-1] - 0.5
    assert (player.underruns, gaps(second.sound)) == (0, 0)


def test_a_longer_answer_than_expected_runs_dry_and_waits_again() -> None:
    player = Playback(RATE, PlaybackSettings(expected_answer_s=2))
    heard = simulate(player, steady(20, 0.8, 1.5))
    assert 0 < player.underruns == gaps(heard.sound) < 6
    silences = np.flatnonzero(np.trim_zeros(heard.sound) == 0)
    assert len(silences) > player.underruns * RATE  # long pauses, not a stutter
    assert player.played == 16 * RATE
    assert np.count_nonzero(heard.sound == 1) >= 16 * RATE - 2 * FADE * (player.underruns + 1)


def bursts() -> Iterator[float]:
    for burst in range(10):
        yield from (0.5 + 1.0 * burst + 0.01 * index for index in range(2))


def test_bursts() -> None:
    """Two pieces of 0.8 s at once every second: faster than real time on the whole."""
    player = Playback(RATE, PlaybackSettings(expected_factor=0.7))
    times = list(bursts())
    first = simulate(player, [*times, times[-1]])
    assert first.start is not None
    assert first.start < 2
    second = simulate(player, [*times, times[-1]])  # the gaps between bursts are known now
    assert (player.underruns, gaps(second.sound)) == (0, 0)


def test_a_hiccup_is_one_underrun_without_clicks() -> None:
    player = Playback(RATE, SETTINGS)
    times = steady(5, 0.8, 0.5)[:-1]
    times += [time + 10 for time in times]
    heard = simulate(player, [*times, times[-1]])
    assert (player.underruns, gaps(heard.sound)) == (1, 1)
    assert largest_step(heard.sound) <= 1 / FADE + 1e-6
    assert player.played == 8 * RATE


def test_stop_fades_out_and_counts_what_was_heard() -> None:
    player = Playback(RATE, PlaybackSettings(expected_factor=0.1))
    player.begin()
    player.push(np.ones(1000, dtype=np.float32), 0.0)
    before = player.pull(100)
    player.stop(0.2)
    player.push(np.ones(1000, dtype=np.float32), 0.1)  # the generator has not noticed yet
    after = player.pull(100)
    assert (player.state, player.played) == ("idle", 100 + FADE)
    assert largest_step(np.concatenate([before, after])) <= 1 / FADE + 1e-6
    assert not after[FADE:].any()


def test_hold_fades_out_and_goes_on_where_it_was() -> None:
    player = Playback(RATE, PlaybackSettings(expected_factor=0.1))
    player.begin()
    player.push(np.ones(1000, dtype=np.float32), 0.0)
    out = [player.pull(100)]
    player.hold(0.1)
    player.hold(0.1)
    out.append(player.pull(300))
    assert not out[-1][FADE:].any() and player.played == 100 + FADE
    player.finish()
    player.release()
    out.append(player.pull(2000))
    sound = np.concatenate(out)
    assert largest_step(sound) <= 1 / FADE + 1e-6
    assert (player.state, player.played, player.underruns) == ("idle", 1000, 0)
    assert np.count_nonzero(sound) == pytest.approx(1000, abs=4)  # fades begin and end at 0


def test_stop_while_held_is_silent() -> None:
    player = Playback(RATE, PlaybackSettings(expected_factor=0.1))
    player.begin()
    player.push(np.ones(1000, dtype=np.float32), 0.0)
    player.pull(100)
    player.hold(0.1)
    player.pull(100)
    player.stop(0.2)
    assert not player.pull(100).any()
    player.begin()
    player.push(np.ones(1000, dtype=np.float32), 0.0)
    assert player.pull(100).any()


def test_a_new_answer_ends_the_one_before() -> None:
    player = Playback(RATE, PlaybackSettings(expected_factor=0.1))
    out = []
    for _ in range(3):
        player.begin()
        assert player.played == 0
        player.push(np.ones(1000, dtype=np.float32), 0.0)
        out += [player.pull(3), player.pull(100)]
    player.stop(0.2)
    assert largest_step(np.concatenate([*out, player.pull(100)])) <= 1 / FADE + 1e-6


def test_stop_while_waiting_is_silent() -> None:
    player = Playback(RATE, SETTINGS)
    player.begin()
    player.push(np.ones(1000, dtype=np.float32), 0.0)
    assert player.state == "waiting"
    player.stop(0.2)
    assert not player.pull(1000).any()
    assert player.played == 0


def test_the_end_is_played_whatever_the_rate() -> None:
    player = Playback(RATE, PlaybackSettings(expected_factor=5.0))
    player.begin()
    sound = np.linspace(0.1, 1, 333, dtype=np.float32)
    player.push(sound, 0.0)
    assert player.state == "waiting"
    player.finish()
    out = np.concatenate([player.pull(100) for _ in range(5)])
    assert (player.state, player.played, player.underruns) == ("idle", 333, 0)
    np.testing.assert_array_equal(out[FADE : 333 - FADE], sound[FADE:-FADE])
    assert not out[333:].any()


def test_samples_keep_their_order_in_blocks_of_any_size() -> None:
    rng = np.random.default_rng(0)
    player = Playback(RATE, PlaybackSettings(expected_factor=0.1))
    sound = rng.standard_normal(5000).astype(np.float32)
    player.begin()
    pieces = np.split(sound, np.sort(rng.integers(0, 5000, 30)))
    for index, piece in enumerate(pieces):
        player.push(piece, 0.01 * index)
    player.finish()
    out = np.concatenate([player.pull(int(count)) for count in rng.integers(0, 200, 80)])
    np.testing.assert_array_equal(out[FADE : 5000 - FADE], sound[FADE:-FADE])


def test_a_generator_and_a_speaker_in_threads_of_their_own() -> None:
    player = Playback(RATE, PlaybackSettings(expected_factor=0.01, cushion_s=0))
    sound = np.arange(1, 20_001, dtype=np.float32)
    player.begin()

    def generate() -> None:
        for index, piece in enumerate(np.split(sound, 1000)):
            player.push(piece, index / RATE)
        player.finish()

    generator = threading.Thread(target=generate)
    generator.start()
    out = []
    while player.state != "idle":
        out.append(player.pull(7))
    generator.join()
    out.append(player.pull(FADE))
    heard = np.concatenate(out)
    assert player.played == len(sound)
    if not player.underruns:
        np.testing.assert_array_equal(np.trim_zeros(heard)[FADE:-FADE], sound[FADE + 1 : -FADE - 1])


def test_an_answer_without_sound() -> None:
    player = Playback(RATE, SETTINGS)
    player.begin()
    player.finish()
    assert player.state == "idle"
    assert not player.pull(10).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"fade_s": -1.0}, "negative"), ({"expected_answer_s": 90.0}, "90 s are expected")],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(MimoEdgeError, match=message):
        PlaybackSettings(**settings)


def test_a_sender_that_holds_sound_back_is_not_taken_for_a_slow_one() -> None:
    """A server sends a second as fast as it can, and from then on as fast as it is played."""
    player = Playback(RATE, PlaybackSettings(expected_answer_s=8, paced_s=0.4))
    burst = [0.5 + 0.05 * index for index in range(6)]
    paced = [burst[-1] + 0.22 * index for index in range(1, 41)]  # with a network's hesitation
    for _ in range(3):
        heard = simulate(player, [*burst, *paced, paced[-1]], piece_s=0.2)
        assert heard.start is not None and heard.start < 0.9
        assert heard.first_wait is None


def test_a_sender_that_is_too_slow_is_waited_for_as_well() -> None:
    settings = PlaybackSettings(expected_answer_s=8, paced_s=0.4, maker="the server")
    player = Playback(RATE, settings)
    heard = simulate(player, steady(40, 0.2, factor=1.5), piece_s=0.2)
    assert heard.factor_while_waiting == pytest.approx(1.5)
    assert player.underruns == 0
