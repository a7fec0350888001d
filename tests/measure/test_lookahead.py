"""The measurement of the lookahead measures what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from mimo_edge.engine import Engine
from mimo_edge.measure.lookahead import log_spectral_distance, measure_lookahead, seam_jumps
from tests.tools.command_line import Command


def test_less_lookahead_is_earlier_and_further_from_offline(
    engine: Engine, clips: dict[str, Path]
) -> None:
    names = [str(clips[name]) for name in ("question", "short")]
    config = engine.manifest.audio
    none, some, full, more = measure_lookahead(engine, names, [0, 16, 160, 999], push=2)
    assert 0.02 == none.delay_seconds < some.delay_seconds == 0.18
    most = (config.vocoder_right + 2) / 100
    assert full.delay_seconds == more.delay_seconds == min(1.62, most)
    assert none.full_distance > some.full_distance >= full.full_distance == 0 == more.full_distance
    assert 0 < full.offline_distance < 2
    for cost in (none, some, full, more):
        assert cost.cost > 0 and cost.seam_jump < 2 <= 2 * cost.largest_jump


def test_the_command(command: Command, clips: dict[str, Path]) -> None:
    options = ("--audio", clips["short"], "--threads", "1", "--runs", "1")
    table = command("lookahead", *options)
    assert table.status == 0, table.err
    assert [line.split()[0] for line in table.out.splitlines()[1:] if line[0].isdigit()] == [
        *("16", "32", "48", "80", "160")
    ]
    lines = command("lookahead", *options, "--frames", "8", "--json").out.splitlines()
    assert [json.loads(line)["lookahead"] for line in lines] == [8]
    assert "give 1 or more" in command("lookahead", *options, "--push", "0").sentence
    assert "give 0 or more" in command("lookahead", *options, "--frames", "-1").sentence


def test_a_click_is_seen() -> None:
    wave = np.sin(np.arange(4800) / 20).astype(np.float32)
    smooth = seam_jumps(np.split(wave, [1000, 2000, 3000]), 24_000)
    assert len(smooth) == 3 and smooth.max() < 2
    wave[2000:] += 0.5
    assert np.argmax(seam_jumps(np.split(wave, [1000, 2000, 3000]), 24_000)) == 1
    assert seam_jumps(np.split(wave, [1000, 2000, 3000]), 24_000)[1] > 8
    silence = np.zeros(4800, dtype=np.float32)
    np.testing.assert_array_equal(seam_jumps(np.split(silence, [1000]), 24_000), [1])


def test_twice_as_loud_is_six_decibels() -> None:
    noise = np.random.default_rng(0).standard_normal(9600).astype(np.float32)
    assert log_spectral_distance(noise, noise, 960) == 0
    assert 5.5 < log_spectral_distance(2 * noise, noise, 960) < 6.1
    assert log_spectral_distance(noise[:100], noise[:100], 960) == 0
