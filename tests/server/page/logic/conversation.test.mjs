import assert from "node:assert/strict";
import test from "node:test";

import {
  EMPTY,
  history,
  phase,
  reduce,
} from "../../../../mimo_edge/server/page/static/logic/conversation.mjs";

const all = (events, state = EMPTY) => events.reduce(reduce, state);

const heard = [
  { type: "input_audio_buffer.speech_started", item_id: "u1", audio_start_ms: 100 },
  { type: "input_audio_buffer.speech_stopped", item_id: "u1", audio_end_ms: 900 },
  { type: "input_audio_buffer.committed", item_id: "u1", previous_item_id: null },
  {
    type: "conversation.item.added",
    previous_item_id: null,
    item: { id: "u1", type: "message", role: "user", content: [{ type: "input_audio" }] },
  },
];
const understood = {
  type: "conversation.item.input_audio_transcription.completed",
  item_id: "u1",
  transcript: "what is seven plus five",
};
const answering = [
  { type: "response.created", response: { id: "r1" } },
  { type: "response.output_item.added", item: { id: "a1", type: "message", role: "assistant" } },
  { type: "response.output_audio_transcript.delta", item_id: "a1", delta: "seven plus " },
  { type: "response.output_audio_transcript.delta", item_id: "a1", delta: "five" },
];
const done = (status, output = [{ id: "a1", type: "message" }]) => ({
  type: "response.done",
  response: { id: "r1", status, output, status_details: { error: { message: "No memory." } } },
});
const texts = (state) => state.items.map((item) => [item.role, item.text, item.state]);

test("a spoken question and its answer", () => {
  const state = all([...heard, ...answering, understood, done("completed")]);
  assert.deepEqual(texts(state), [
    ["user", "what is seven plus five", "done"],
    ["assistant", "seven plus five", "done"],
  ]);
});

test("what goes on is told at every step", () => {
  const steps = [heard[0], heard[1], ...answering.slice(0, 1)];
  const playing = { type: "local.playing", playing: true };
  const silent = { type: "local.playing", playing: false };
  const seen = [];
  [...steps, playing, done("completed"), silent].reduce((state, event) => {
    const next = reduce(state, event);
    seen.push(phase(next));
    return next;
  }, EMPTY);
  assert.deepEqual(seen, ["hearing", "idle", "thinking", "speaking", "speaking", "idle"]);
});

test("speaking over an answer marks it, and shows the new turn below it", () => {
  const state = all([
    ...heard,
    understood,
    ...answering,
    { type: "input_audio_buffer.speech_started", item_id: "u2" },
    { type: "conversation.item.truncated", item_id: "a1", audio_end_ms: 1240 },
    done("cancelled"),
  ]);
  assert.deepEqual(
    state.items.map((item) => item.id),
    ["u1", "a1", "u2"],
  );
  assert.equal(state.items[1].state, "cut");
  assert.equal(state.items[1].note, "Interrupted after 1.2 s.");
  assert.equal(phase(state), "hearing");
});

test("a transcript that comes before the item is told again is kept", () => {
  const state = all([...heard.slice(0, 3), understood, heard[3]]);
  assert.deepEqual(texts(state), [["user", "what is seven plus five", "done"]]);
});

test("typed items are told by their text, function calls and system messages not at all", () => {
  const item = (id, role, text) => ({
    type: "conversation.item.added",
    previous_item_id: null,
    item: { id, type: "message", role, content: [{ type: "input_text", text }] },
  });
  const state = all([
    item("u1", "user", "hello"),
    item("s1", "system", "be kind"),
    { type: "conversation.item.added", item: { id: "f1", type: "function_call" } },
  ]);
  assert.deepEqual(texts(state), [["user", "hello", "done"]]);
});

test("an answer that fails says why, with or without an item", () => {
  for (const output of [undefined, []]) {
    const state = all([answering[0], done("failed", output)]);
    assert.equal(state.items[0].note, "No memory.");
    assert.equal(phase(state), "idle");
  }
});

test("a turn that could not be transcribed says why", () => {
  const type = "conversation.item.input_audio_transcription.failed";
  const state = all([...heard, { type, item_id: "u1", error: { message: "Too long." } }]);
  assert.deepEqual([state.items[0].state, state.items[0].note], ["failed", "Too long."]);
});

test("noise leaves nothing behind, and clearing the input does not end a push", () => {
  const pushed = all([{ type: "local.hearing", hearing: true }]);
  assert.equal(phase(reduce(pushed, { type: "input_audio_buffer.cleared" })), "hearing");
  const noise = all([heard[0], { type: "input_audio_buffer.cleared" }]);
  assert.deepEqual(noise.items, []);
  assert.equal(phase(noise), "idle");
});

test("a lost connection ends what was under way; a new one is told what was said", () => {
  const state = all([...heard, understood, ...answering, { type: "local.closed" }]);
  assert.equal(phase(state), "idle");
  assert.equal(state.items[1].note, "The connection was lost.");
  assert.deepEqual(history(state), [
    { id: "u1", role: "user", text: "what is seven plus five" },
    { id: "a1", role: "assistant", text: "seven plus five" },
  ]);
});

test("events that it does not know change nothing, and no state is changed in place", () => {
  const state = all(heard);
  const before = JSON.stringify(state);
  assert.equal(reduce(state, { type: "rate_limits.updated" }), state);
  reduce(state, understood);
  assert.equal(JSON.stringify(state), before);
});
