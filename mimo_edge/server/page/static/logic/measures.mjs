// How fast the answers are, each for itself and the last one.

import { Pace } from "./pace.mjs";

/** Times of a conversation, in seconds. */
export class Measures {
  #asked = 0;
  #responses = new Map();
  #items = new Map();
  #last = null;

  /** A question was finished. */
  asked(time) {
    this.#asked = time;
  }

  /** An answer to it was begun. */
  created(response) {
    this.#responses.set(response, new Pace(this.#asked));
  }

  /** A piece of sound of an answer's item came. */
  came(response, item, time, seconds) {
    let pace = this.#items.get(item)?.pace;
    if (!pace) {
      pace = this.#responses.get(response) ?? new Pace(time);
      this.#responses.delete(response);
      this.#items.set(item, { pace, seconds: null, gaps: 0 });
      this.#last = item;
    }
    pace.came(time, seconds);
  }

  /** Its first sample came out. */
  began(item, time) {
    this.#items.get(item)?.pace.played(time);
  }

  /** The last one was heard with more gaps, because its sound did not come in time. */
  gaps(more) {
    const known = this.#items.get(this.#last);
    if (known) known.gaps += more;
  }

  /** So much of it was heard, and no more will be. */
  heard(item, seconds) {
    const known = this.#items.get(item);
    if (known) known.seconds = seconds;
  }

  /** {firstSound, realTimeFactor, seconds, gaps} of an item, or of the last; null: not known. */
  of(item = this.#last) {
    const known = this.#items.get(item);
    if (!known) return { firstSound: null, realTimeFactor: null, seconds: null, gaps: 0 };
    const { firstSound, realTimeFactor } = known.pace;
    return { firstSound, realTimeFactor, seconds: known.seconds, gaps: known.gaps };
  }
}
