// The playback queue behind messages, so that it can live in another thread.

import { PlaybackQueue } from "./playback_queue.mjs";

/** How often it tells what was played, in seconds. */
const EVERY_S = 0.05;

/**
 * Takes {do: "push", item, samples}, {do: "end"}, {do: "clear", id}, {do: "forget", item}; sends
 * {playing, empty, gaps, dropped, played: [[item, seconds]…], taken, cleared: id or null} when
 * something changes, and while sound comes out. `taken` counts the messages that it knew of, since
 * others may be on their way.
 */
export class PlaybackPort {
  #queue;
  #send;
  #every;
  #since = 0;
  #was = false;
  #taken = 0;
  #toldTaken = 0;
  #clearing = null;

  constructor(rate, send) {
    this.#queue = new PlaybackQueue(rate);
    this.#send = send;
    this.#every = EVERY_S * rate;
  }

  /** A message from the page. */
  take(message) {
    const queue = this.#queue;
    this.#taken += 1;
    if (message.do === "push") queue.push(message.item, message.samples);
    else if (message.do === "end") queue.end();
    else if (message.do === "forget") queue.forget(message.item);
    else if (message.do === "clear") {
      queue.clear();
      this.#clearing = message.id;
    }
  }

  /** Fill a block of sound, and tell what is worth telling. */
  fill(block) {
    const queue = this.#queue;
    queue.pull(block);
    this.#since += block.length;
    const cleared = this.#clearing !== null && !queue.playing ? this.#clearing : null;
    const due = queue.playing && this.#since >= this.#every;
    const idle = !queue.playing && queue.empty && this.#taken !== this.#toldTaken;
    if (!due && !idle && cleared === null && queue.playing === this.#was) return;
    this.#since = 0;
    this.#toldTaken = this.#taken;
    this.#was = queue.playing;
    if (cleared !== null) this.#clearing = null;
    const { playing, empty, gaps, dropped, played } = queue;
    const taken = this.#taken;
    this.#send({ playing, empty, gaps, dropped, played: [...played], taken, cleared });
  }
}
