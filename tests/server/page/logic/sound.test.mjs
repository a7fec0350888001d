import assert from "node:assert/strict";
import test from "node:test";

import * as pcm from "../../../../mimo_edge/server/page/static/logic/pcm.mjs";
import { layOut, Recording, Sent } from "../../../../mimo_edge/server/page/static/logic/recording.mjs";
import { wav } from "../../../../mimo_edge/server/page/static/logic/wav.mjs";

test("samples survive the way to the server and back", () => {
  const samples = Int16Array.from({ length: 50000 }, (_, i) => ((i * 7919) % 65536) - 32768);
  assert.deepEqual(pcm.fromBase64(pcm.toBase64(samples)), samples);
  assert.equal(pcm.toBase64(Int16Array.of(1, -2)), "AQD+/w==");
});

test("what is too loud is clipped, not wrapped", () => {
  const got = pcm.toInt16(Float32Array.of(2, -2, 0.5, 0));
  assert.deepEqual(got, Int16Array.of(32767, -32767, 16384, 0));
});

test("channels become their mean", () => {
  const got = pcm.mono([Float32Array.of(1, 0), Float32Array.of(0, 0.5)]);
  assert.deepEqual(got, Float32Array.of(0.5, 0.25));
});

test("a WAV file has both channels and says so", () => {
  const bytes = wav([Int16Array.of(1, 2), Int16Array.of(-1, -2)], 24000);
  const view = new DataView(bytes.buffer);
  assert.equal(new TextDecoder().decode(bytes.subarray(0, 4)), "RIFF");
  assert.equal(view.getUint32(4, true), bytes.length - 8);
  assert.equal(view.getUint16(22, true), 2);
  assert.equal(view.getUint32(24, true), 24000);
  assert.deepEqual(
    [44, 46, 48, 50].map((at) => view.getInt16(at, true)),
    [1, -1, 2, -2],
  );
});

const turn = (side, begin, seconds) => ({
  side,
  begin,
  samples: new Int16Array(seconds * pcm.RATE).fill(side === "user" ? 1 : 2),
});

test("turns keep their order and overlap; long pauses become short", () => {
  const placed = layOut([turn("user", 100, 2), turn("assistant", 110, 3), turn("user", 112, 1)]);
  assert.deepEqual(
    placed.map(({ at }) => at / pcm.RATE),
    [0, 2.8, 4.8],
  );
});

test("a recording has the person left and the model right", () => {
  const recording = new Recording();
  assert.ok(recording.empty);
  recording.add("user", 5, turn("user", 5, 1).samples);
  recording.add("assistant", 6.5, turn("assistant", 6.5, 1).samples);
  const [left, right] = recording.channels();
  assert.equal(left.length, 2.5 * pcm.RATE);
  assert.equal(left.length, right.length);
  assert.equal(left[0], 1);
  assert.equal(left[2 * pcm.RATE], 0);
  assert.equal(right[2 * pcm.RATE], 2);
});

test("what was sent is found again by its place, as long as it is kept", () => {
  const sent = new Sent();
  for (let i = 0; i < 400; i++) sent.add(new Int16Array(pcm.RATE).fill(i));
  assert.equal(sent.length, 400 * pcm.RATE);
  const part = sent.part(250.5 * pcm.RATE, 252 * pcm.RATE);
  assert.equal(part.length, 1.5 * pcm.RATE);
  assert.deepEqual([part[0], part[part.length - 1]], [250, 251]);
  assert.equal(sent.part(0, pcm.RATE).length, 0);
});
