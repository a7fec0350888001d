import assert from "node:assert/strict";
import test from "node:test";

import { PlaybackQueue } from "../../../../mimo_edge/server/page/static/logic/playback_queue.mjs";

const RATE = 48000;

function pull(queue, seconds) {
  const out = new Float32Array(Math.round(seconds * RATE));
  for (let at = 0; at < out.length; at += 128) queue.pull(out.subarray(at, at + 128));
  return out;
}

const sound = (seconds) => new Float32Array(Math.round(seconds * RATE)).fill(0.5);

/** The largest step between neighbours: what is heard as a click. */
function step(samples) {
  let most = 0;
  for (let i = 1; i < samples.length; i++) {
    most = Math.max(most, Math.abs(samples[i] - samples[i - 1]));
  }
  return most;
}

test("it waits until there is enough, and then plays all of it", () => {
  const queue = new PlaybackQueue(RATE);
  queue.push("a", sound(0.1));
  assert.equal(Math.max(...pull(queue, 0.05)), 0);
  queue.push("a", sound(0.1));
  queue.end();
  pull(queue, 0.3);
  assert.equal(queue.played.get("a"), 0.2);
  assert.ok(queue.empty && !queue.playing);
  assert.equal(queue.gaps, 0);
});

test("an answer shorter than the lead is played when it has ended", () => {
  const queue = new PlaybackQueue(RATE);
  queue.push("a", sound(0.05));
  assert.equal(Math.max(...pull(queue, 0.05)), 0);
  queue.end();
  assert.ok(Math.max(...pull(queue, 0.05)) > 0.4);
});

test("nothing clicks: beginning, a late piece, an end, a break", () => {
  const queue = new PlaybackQueue(RATE);
  const out = [];
  queue.push("a", sound(0.2));
  out.push(...pull(queue, 0.3)); // the next piece is late
  queue.push("a", sound(0.3));
  out.push(...pull(queue, 0.1));
  assert.equal(queue.gaps, 1);
  queue.clear();
  out.push(...pull(queue, 0.1));
  queue.push("b", sound(0.1));
  queue.end();
  out.push(...pull(queue, 0.2));
  assert.ok(step(out) < 0.003, `${step(out)}`);
});

test("after a gap more has to be there before it goes on", () => {
  const queue = new PlaybackQueue(RATE);
  queue.push("a", sound(0.13));
  pull(queue, 0.2);
  queue.push("a", sound(0.13));
  assert.equal(Math.max(...pull(queue, 0.05)), 0);
  queue.push("a", sound(0.13));
  assert.ok(Math.max(...pull(queue, 0.05)) > 0.4);
});

test("an end that is told late is no gap", () => {
  const queue = new PlaybackQueue(RATE);
  queue.push("a", sound(0.2));
  pull(queue, 0.5);
  queue.end();
  queue.push("b", sound(0.13));
  assert.ok(Math.max(...pull(queue, 0.05)) > 0.4);
  assert.equal(queue.gaps, 0);
});

test("breaking off counts what came out, and no more", () => {
  const queue = new PlaybackQueue(RATE);
  queue.push("a", sound(1));
  queue.push("b", sound(1));
  pull(queue, 0.4);
  queue.clear();
  const rest = pull(queue, 0.5);
  assert.ok(rest.slice(0.02 * RATE).every((value) => value === 0));
  assert.ok(Math.abs(queue.played.get("a") - 0.408) < 0.001);
  assert.equal(queue.played.get("b"), undefined);
  assert.ok(queue.empty);
});

test("breaking off before the first sound is silent", () => {
  const queue = new PlaybackQueue(RATE);
  queue.push("a", sound(0.1));
  queue.clear();
  assert.ok(pull(queue, 0.1).every((value) => value === 0));
  assert.equal(queue.played.size, 0);
});

test("the next answer begins behind one that is being broken off", () => {
  const queue = new PlaybackQueue(RATE);
  queue.push("a", sound(1));
  pull(queue, 0.2);
  queue.clear();
  queue.push("b", sound(0.5));
  queue.end();
  pull(queue, 1);
  assert.ok(Math.abs(queue.played.get("a") - 0.208) < 0.001);
  assert.equal(queue.played.get("b"), 0.5);
});

test("it is bounded, and says what it dropped", () => {
  const queue = new PlaybackQueue(RATE);
  for (let i = 0; i < 130; i++) queue.push("a", sound(1));
  assert.equal(queue.dropped, 10 * RATE);
});
