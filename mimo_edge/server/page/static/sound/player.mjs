// Plays answers, and knows what of them was really heard.

import { concatenated, fromBase64, RATE, toFloat } from "../logic/pcm.mjs";
import { PlaybackPort } from "../logic/playback_port.mjs";
import { Resampler } from "../logic/resampler.mjs";
import { audioContext, hasWorklets } from "./context.mjs";

/** When the device does not answer, what it told last has to do. */
const CLEAR_MS = 400;

/** Of the fallback for pages without an audio thread. */
const BLOCK = 2048;

/**
 * One speaker. `changed` is called with {playing, gaps, dropped}, `began` with an item when its
 * first sample comes out, `ended` with {item, begin, samples} when all that will ever be heard of
 * an item was heard: its beginning in seconds of `performance.now()`, and Int16Array of 24 kHz.
 */
export class Player {
  #items = new Map(); // id → {pieces, begin, ended, resampler}
  #refused = new Set(); // items that were broken off: what still comes of them is not played
  #clears = new Map();
  #deliver;
  #sent = 0;
  #heard = new Map(); // item → seconds, as told last
  #context;
  #told;
  #dropped = 0;

  static async open(told) {
    const context = audioContext();
    const player = new Player(context, told);
    if (hasWorklets()) {
      await context.audioWorklet.addModule("/page/worklets/playback.mjs");
      const node = new AudioWorkletNode(context, "playback", {
        numberOfInputs: 0,
        outputChannelCount: [1],
      });
      node.port.onmessage = ({ data }) => player.#report(data);
      player.#connect(node, (message) => node.port.postMessage(message));
    } else {
      // Over http to another machine there is no audio thread; the old way still plays.
      const node = context.createScriptProcessor(BLOCK, 0, 1);
      const port = new PlaybackPort(context.sampleRate, (report) => player.#report(report));
      node.onaudioprocess = ({ outputBuffer }) => port.fill(outputBuffer.getChannelData(0));
      player.#connect(node, (message) => port.take(message));
    }
    return player;
  }

  constructor(context, told) {
    this.#context = context;
    this.#told = told;
    this.playing = false;
    this.analyser = new AnalyserNode(context, { fftSize: 1024 });
  }

  /** Whether sound is playing or waits to be. */
  get busy() {
    return this.#items.size > 0;
  }

  /** Play a piece of an item: base64 of 24 kHz. Returns its seconds. */
  push(item, audio) {
    const samples = fromBase64(audio);
    if (this.#refused.has(item)) return 0;
    let known = this.#items.get(item);
    if (!known) {
      const resampler = new Resampler(RATE, this.#context.sampleRate);
      known = { pieces: [], begin: null, ended: false, resampler };
      this.#items.set(item, known);
    }
    known.pieces.push(samples);
    this.#post(item, known.resampler.process(toFloat(samples)));
    return samples.length / RATE;
  }

  /** No more comes of an item. */
  end(item) {
    const known = this.#items.get(item);
    if (!known || known.ended) return;
    known.ended = true;
    this.#post(item, known.resampler.flush());
    this.#port({ do: "end" });
  }

  /** Nothing more comes of anything: play what is there. */
  endAll() {
    for (const item of this.#items.keys()) this.end(item);
  }

  /** Fall silent. Resolves to what was heard of each item: a list of {item, seconds}. */
  async clear() {
    const broken = [...this.#items.keys()].filter((item) => !this.#refused.has(item));
    if (broken.length === 0) return [];
    for (const item of broken) this.#refused.add(item);
    const id = broken[0];
    const cleared = new Promise((resolve) => this.#clears.set(id, resolve));
    this.#port({ do: "clear", id });
    const played = await Promise.race([cleared, after(CLEAR_MS).then(() => this.#heard)]);
    // The last of it is still on its way through the device.
    const late = this.#context.outputLatency || this.#context.baseLatency || 0;
    return broken.map((item) => {
      const seconds = Math.max(0, (played.get(item) ?? 0) - late);
      this.#finish(item, seconds);
      return { item, seconds };
    });
  }

  #connect(node, deliver) {
    this.#deliver = deliver;
    node.connect(this.analyser).connect(this.#context.destination);
  }

  #port(message) {
    this.#sent += 1;
    this.#deliver(message);
  }

  #post(item, samples) {
    if (samples.length) this.#port({ do: "push", item, samples });
  }

  #report({ playing, empty, gaps, dropped, played, taken, cleared }) {
    const seconds = new Map(played);
    this.#heard = seconds;
    for (const item of seconds.keys()) {
      const known = this.#items.get(item);
      if (known && known.begin === null) {
        const late = this.#context.outputLatency || this.#context.baseLatency || 0;
        known.begin = performance.now() / 1000 - seconds.get(item) + late;
        this.#told.began(item, known.begin);
      }
    }
    this.playing = playing;
    this.#told.changed({ playing, gaps, dropped: dropped - this.#dropped });
    this.#dropped = dropped;
    if (cleared !== null) {
      this.#clears.get(cleared)?.(seconds);
      this.#clears.delete(cleared);
    } else if (!playing && empty && taken === this.#sent) {
      for (const [item, known] of this.#items) {
        if (known.ended) this.#finish(item, seconds.get(item) ?? 0);
      }
    }
  }

  #finish(item, seconds) {
    const known = this.#items.get(item);
    if (!known) return;
    this.#items.delete(item);
    this.#port({ do: "forget", item });
    const samples = concatenated(known.pieces).subarray(0, Math.round(seconds * RATE));
    this.#told.ended({ item, begin: known.begin, samples });
  }
}

const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
