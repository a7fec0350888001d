// How fast an answer is: the wait for its first sound, and the time that a second of sound takes.

/** The server holds sound back when it is this far ahead of the listener. */
const FREE_LEAD_S = 0.7;

/** Measures one answer. Times are seconds of one clock. */
export class Pace {
  #asked;
  #last = null;
  #started = null;
  #sound = 0;
  #freeTime = 0;
  #freeSound = 0;

  /** `asked`: when the person finished: the end of the last word, or the click. */
  constructor(asked) {
    this.#asked = asked;
  }

  /** A piece of sound came. */
  came(now, seconds) {
    // Behind a lead the server waits on purpose; that time says nothing about its speed.
    if (this.#last !== null && this.#lead(this.#last) < FREE_LEAD_S) {
      this.#freeTime += now - this.#last;
      this.#freeSound += seconds;
    }
    this.#last = now;
    this.#sound += seconds;
  }

  /** The first sample came out of the speaker. */
  played(now) {
    this.#started ??= now;
  }

  /** Seconds from the end of the question to the first sound; null: none yet. */
  get firstSound() {
    return this.#started === null ? null : Math.max(0, this.#started - this.#asked);
  }

  /** Seconds of work for a second of sound; null: too little came to say. */
  get realTimeFactor() {
    return this.#freeSound < 0.3 ? null : this.#freeTime / this.#freeSound;
  }

  #lead(now) {
    return this.#sound - (this.#started === null ? 0 : Math.max(0, now - this.#started));
  }
}
