import assert from "node:assert/strict";
import test from "node:test";

import * as events from "../../../../mimo_edge/server/page/static/logic/client_events.mjs";
import { Measures } from "../../../../mimo_edge/server/page/static/logic/measures.mjs";
import { Pace } from "../../../../mimo_edge/server/page/static/logic/pace.mjs";
import {
  aboutEcho,
  whyNoMicrophone,
  whyRefused,
} from "../../../../mimo_edge/server/page/static/logic/places.mjs";
import { Press } from "../../../../mimo_edge/server/page/static/logic/press.mjs";
import { delay } from "../../../../mimo_edge/server/page/static/logic/retry.mjs";
import { Sentences } from "../../../../mimo_edge/server/page/static/logic/sentences.mjs";

test("sentences come out when they are finished", () => {
  const sentences = new Sentences();
  assert.deepEqual(sentences.add("It is 3."), []);
  assert.deepEqual(sentences.add("5 o'clock. Yes!"), ["It is 3.5 o'clock."]);
  assert.deepEqual(sentences.add(" And"), ["Yes!"]);
  assert.deepEqual(sentences.end(), ["And"]);
  assert.deepEqual(sentences.end(), []);
  assert.deepEqual(sentences.add("你好。再见"), ["你好。"]);
});

test("a long press holds, a short one switches, a click toggles", () => {
  const press = new Press();
  press.down(0);
  assert.equal(press.on, true);
  press.up(1000);
  assert.equal(press.on, false);
  press.down(2000);
  press.up(2100);
  assert.equal(press.on, true);
  press.down(5000);
  press.up(5100);
  assert.equal(press.on, false);
  press.toggle();
  assert.equal(press.on, true);
  press.release();
  press.up(9000); // a finger that was down when it was switched off
  assert.equal(press.on, false);
});

test("tries come later and later, but not ever later", () => {
  const middle = () => 0.5;
  assert.deepEqual(
    [0, 1, 2, 20].map((tries) => delay(tries, middle)),
    [500, 1000, 2000, 15000],
  );
});

test("the pace of an answer that is faster than speech", () => {
  const pace = new Pace(10);
  pace.came(10.4, 0.2);
  pace.played(10.55);
  for (let i = 1; i <= 4; i++) pace.came(10.4 + 0.05 * i, 0.2);
  assert.equal(pace.firstSound.toFixed(2), "0.55");
  assert.equal(pace.realTimeFactor.toFixed(2), "0.25");
  pace.came(11.8, 0.2); // held back by the server, which is far enough ahead
  assert.equal(pace.realTimeFactor.toFixed(2), "0.25");
});

test("the pace of an answer that is slower than speech, and of none", () => {
  const pace = new Pace(0);
  assert.equal(pace.firstSound, null);
  assert.equal(pace.realTimeFactor, null);
  pace.came(1, 0.2);
  pace.played(1.1);
  for (let i = 1; i < 10; i++) pace.came(1 + 0.3 * i, 0.2);
  assert.equal(pace.realTimeFactor.toFixed(2), "1.50");
});

test("what is missing is said in words", () => {
  const all = { secure: true, mediaDevices: true, worklet: true, port: "8000" };
  assert.equal(whyNoMicrophone(all), null);
  const insecure = whyNoMicrophone({ ...all, secure: false });
  assert.match(insecure.text, /https/);
  assert.match(insecure.text, /http:..localhost:8000\//);
  assert.match(whyNoMicrophone({ ...all, mediaDevices: false }).text, /type/);
  assert.match(whyRefused("NotAllowedError"), /Allow it/);
  assert.match(whyRefused("NotFoundError"), /no microphone/);
  assert.match(whyRefused("SomethingNew"), /SomethingNew/);
});

test("echo is spoken of only where it matters", () => {
  const plain = { headphones: false, handsFree: true, cancels: false };
  assert.match(aboutEcho(plain), /headphones/);
  assert.equal(aboutEcho({ ...plain, cancels: true }), null);
  assert.equal(aboutEcho({ ...plain, headphones: true }), null);
  assert.equal(aboutEcho({ ...plain, handsFree: false }), null);
});

test("the session is asked for in the shape of the API", () => {
  const wanted = {
    handsFree: true,
    voice: "v1",
    instructions: "be brief",
    spoken: true,
    model: "m",
  };
  const { session } = events.sessionUpdate(wanted);
  assert.equal(session.type, "realtime");
  assert.deepEqual(session.output_modalities, ["audio"]);
  assert.equal(session.audio.input.turn_detection.type, "server_vad");
  assert.equal(session.audio.output.voice, "v1");
  const manual = events.sessionUpdate({ ...wanted, handsFree: false, voice: "" }).session;
  assert.equal(manual.audio.input.turn_detection, null);
  assert.ok(!("voice" in manual.audio.output));
  assert.equal(events.truncate("a", 1.2349).audio_end_ms, 1234);
});

test("each answer is measured for itself, and the last one is shown", () => {
  const measures = new Measures();
  assert.equal(measures.of().firstSound, null);
  measures.asked(1);
  measures.created("r1");
  measures.came("r1", "a1", 1.2, 0.2);
  measures.began("a1", 1.5);
  measures.asked(10);
  measures.created("r2");
  measures.came("r2", "a2", 10.1, 0.2);
  measures.began("a2", 10.25);
  measures.gaps(2);
  measures.heard("a2", 1.5);
  assert.equal(measures.of("a1").firstSound, 0.5);
  assert.deepEqual(measures.of(), {
    firstSound: 0.25,
    realTimeFactor: null,
    seconds: 1.5,
    gaps: 2,
  });
});
