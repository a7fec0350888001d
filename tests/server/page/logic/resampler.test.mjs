import assert from "node:assert/strict";
import test from "node:test";

import { Resampler, resampled } from "../../../../mimo_edge/server/page/static/logic/resampler.mjs";

const RATES = [
  [48000, 24000],
  [44100, 24000],
  [96000, 24000],
  [16000, 24000],
  [24000, 48000],
  [24000, 44100],
];

function tone(hertz, rate, seconds = 1) {
  const length = Math.round(rate * seconds);
  return Float32Array.from({ length }, (_, i) => 0.5 * Math.sin((2 * Math.PI * hertz * i) / rate));
}

/** Decibels of the largest difference, relative to full scale, away from the ends. */
function error(got, wanted, skip = 600) {
  let worst = 0;
  for (let i = skip; i < Math.min(got.length, wanted.length) - skip; i++) {
    worst = Math.max(worst, Math.abs(got[i] - wanted[i]));
  }
  return 20 * Math.log10(worst);
}

for (const [from, to] of RATES) {
  test(`a tone keeps its pitch, level and place from ${from} to ${to} Hz`, () => {
    const got = resampled(tone(1000, from), from, to);
    assert.equal(got.length, to);
    assert.ok(error(got, tone(1000, to)) < -70, `${error(got, tone(1000, to))} dB`);
  });

  test(`pieces of any length give the same as all at once, ${from} to ${to} Hz`, () => {
    const sound = tone(523, from, 0.3);
    const resampler = new Resampler(from, to);
    const pieces = [];
    const lengths = [1, 128, 7, 128, 1000, 3, 128, 441];
    for (let at = 0, n = 0; at < sound.length; n++) {
      const end = at + lengths[n % lengths.length];
      pieces.push(...resampler.process(sound.subarray(at, end)));
      at = end;
    }
    pieces.push(...resampler.flush());
    assert.deepEqual(pieces.slice(0, 0.3 * to), [...resampled(sound, from, to)]);
  });
}

test("what the lower rate cannot hold is removed, not folded back", () => {
  for (const hertz of [13500, 17000, 22000]) {
    const got = resampled(tone(hertz, 48000), 48000, 24000);
    assert.ok(error(got, new Float32Array(got.length)) < -75);
  }
});

test("a constant stays what it is", () => {
  const got = resampled(new Float32Array(4800).fill(0.25), 48000, 24000);
  assert.ok(error(got, new Float32Array(2400).fill(0.25)) < -100);
});

test("a rate that is none is refused", () => {
  assert.throws(() => new Resampler(0, 24000), /rates/);
  assert.throws(() => new Resampler(44100.5, 24000), /44100.5/);
});
