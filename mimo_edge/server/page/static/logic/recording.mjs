// What both sides said, for the download.

import { RATE } from "./pcm.mjs";

/** A pause in which nobody speaks is shortened to this. */
const PAUSE_S = 0.8;
/** What was sent most recently is kept for so long, until it is known whether it was a turn. */
const RECENT_S = 300;
/** Of each side; the oldest goes first. */
const MOST_S = 30 * 60;

/** Turns of both sides, each with its sound (Int16Array, 24 kHz) and when it began (seconds). */
export class Recording {
  #turns = [];
  #seconds = 0;

  /** Add a turn of `user` or `assistant`. */
  add(side, begin, samples) {
    if (samples.length === 0) return;
    this.#turns.push({ side, begin, samples });
    this.#seconds += samples.length / RATE;
    while (this.#seconds > 2 * MOST_S) {
      this.#seconds -= this.#turns.shift().samples.length / RATE;
    }
  }

  /** Whether there is nothing. */
  get empty() {
    return this.#turns.length === 0;
  }

  /** Two channels of equal length: the person left, the model right. */
  channels() {
    const placed = layOut(this.#turns);
    const length = placed.reduce((most, t) => Math.max(most, t.at + t.samples.length), 0);
    const left = new Int16Array(length);
    const right = new Int16Array(length);
    for (const { side, at, samples } of placed) (side === "user" ? left : right).set(samples, at);
    return [left, right];
  }
}

/** Each turn's first sample: as they were spoken, with long pauses made short. */
export function layOut(turns) {
  const sorted = [...turns].sort((a, b) => a.begin - b.begin);
  let removed = sorted.length ? sorted[0].begin : 0;
  let end = 0; // of everything so far, in seconds of the result
  return sorted.map((turn) => {
    removed = Math.max(removed, turn.begin - end - PAUSE_S);
    const begin = turn.begin - removed;
    end = Math.max(end, begin + turn.samples.length / RATE);
    return { side: turn.side, samples: turn.samples, at: Math.round(begin * RATE) };
  });
}

/** The last sound that was sent, by its position in all that was sent. */
export class Sent {
  #pieces = [];
  #end = 0;

  /** Samples sent so far. */
  get length() {
    return this.#end;
  }

  /** Append an Int16Array. */
  add(samples) {
    this.#pieces.push({ at: this.#end, samples });
    this.#end += samples.length;
    while (this.#pieces[0].at < this.#end - RECENT_S * RATE) this.#pieces.shift();
  }

  /** The part from one sample to another, as far as it is still there. */
  part(from, to) {
    const first = Math.max(from, this.#pieces[0]?.at ?? 0);
    const out = new Int16Array(Math.max(0, Math.min(to, this.#end) - first));
    for (const { at, samples } of this.#pieces) {
      const begin = Math.max(0, first - at);
      const end = Math.min(samples.length, to - at);
      if (end > begin) out.set(samples.subarray(begin, end), at + begin - first);
    }
    return out;
  }
}
