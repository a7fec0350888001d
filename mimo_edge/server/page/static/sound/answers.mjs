// The model's voice: what is played of it, how fast it came, and what was heard.

import { Measures } from "../logic/measures.mjs";
import { RATE } from "../logic/pcm.mjs";
import { chooseSpeaker } from "./context.mjs";
import { Player } from "./player.mjs";

/**
 * `told` has `speaker()` (the chosen one), `playing(boolean)`, `changed()`,
 * `heard(begin, samples)` and `wrong(sentence)`.
 */
export class Answers {
  #told;
  #player = null;
  #opening = null; // so that there are never two
  #gaps = 0;
  #ignored = new Set(); // responses that were interrupted
  measures = new Measures();

  constructor(told) {
    this.#told = told;
  }

  /** Get the speaker; in a click. */
  open() {
    this.#opening ??= this.#open().finally(() => (this.#opening = null));
    return this.#opening;
  }

  async #open() {
    if (this.#player) return;
    // One that is not there today is no reason to be silent: the usual one plays.
    await chooseSpeaker(this.#told.speaker()).catch(() => {});
    this.#player = await Player.open({
      changed: ({ playing, gaps, dropped }) => {
        this.measures.gaps(gaps - this.#gaps);
        this.#gaps = gaps;
        if (dropped) this.#told.wrong("The answer came too fast to be kept; a part is lost.");
        this.#told.playing(playing);
      },
      began: (item, time) => this.measures.began(item, time),
      ended: ({ item, begin, samples }) => {
        this.measures.heard(item, samples.length / RATE);
        if (begin !== null) this.#told.heard(begin, samples);
        this.#told.changed();
      },
    });
  }

  /** What sees the sound; null before the first. */
  get analyser() {
    return this.#player?.analyser ?? null;
  }

  /** Take an event `response.output_audio.delta`. */
  take({ response_id: response, item_id: item, delta }) {
    if (this.#ignored.has(response)) return;
    const seconds = this.#player?.push(item, delta) ?? 0;
    if (seconds) this.measures.came(response, item, now(), seconds);
  }

  /** Begin to measure anew. */
  forget() {
    this.measures = new Measures();
  }

  /** No more comes of an item, or of any. */
  end(item) {
    if (item === undefined) this.#player?.endAll();
    else this.#player?.end(item);
  }

  /**
   * Fall silent, and play nothing more of this response (null: none is under way). Resolves to what
   * was heard: a list of {item, seconds}.
   */
  async silence(response) {
    if (response !== null) this.#ignored.add(response);
    return (await this.#player?.clear()) ?? [];
  }
}

const now = () => performance.now() / 1000;
