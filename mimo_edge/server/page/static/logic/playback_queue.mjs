// What the speaker plays next. Runs in the audio thread: nothing here waits or asks anybody.

/** How much has to be there before an answer begins, at first. */
const FIRST_LEAD_S = 0.12;
/** It doubles with every gap that was heard, up to this. */
const MOST_LEAD_S = 1;
/** Sound begins, ends and breaks off over this long, so that nothing clicks. */
const FADE_S = 0.008;
/** More than this is not kept. */
const MOST_S = 120;

/** Pieces of items in the order they came, played sample by sample, counted by item. */
export class PlaybackQueue {
  #rate;
  #pieces = [];
  #left = 0; // samples in all pieces
  #lead;
  #gain = 0;
  #rising = false;
  #open = false; // whether more of the last item will come
  #late = false; // whether the next piece did not come in time
  #played = new Map();
  gaps = 0;
  dropped = 0;

  /** `rate`: of the context, in Hz. */
  constructor(rate) {
    this.#rate = rate;
    this.#lead = FIRST_LEAD_S;
  }

  /** Append a Float32Array of an item. What does not fit is dropped and counted. */
  push(item, samples) {
    if (this.#left + samples.length > MOST_S * this.#rate) {
      this.dropped += samples.length;
      return;
    }
    this.#pieces.push({ item, samples, at: 0 });
    this.#left += samples.length;
    this.#open = true;
  }

  /** No more comes of the last item: play what is there, however little. */
  end() {
    this.#open = false;
    if (this.#left === 0) this.#late = false; // it was the end, and nothing is missing
  }

  /** Fade out and forget the rest; what is pushed afterwards begins anew. */
  clear() {
    let keep = Math.ceil(this.#gain * FADE_S * this.#rate);
    this.#pieces = this.#pieces.filter((piece) => {
      piece.samples = piece.samples.subarray(0, piece.at + keep);
      keep -= piece.samples.length - piece.at;
      return piece.samples.length > piece.at;
    });
    this.#left = this.#pieces.reduce((sum, piece) => sum + piece.samples.length - piece.at, 0);
    this.#rising = this.#open = this.#late = false;
  }

  /** Whether sound comes out now. */
  get playing() {
    return this.#gain > 0 || this.#rising;
  }

  /** Whether there is sound that was not played. */
  get empty() {
    return this.#left === 0;
  }

  /** Item → seconds of it that came out. */
  get played() {
    return new Map([...this.#played].map(([item, count]) => [item, count / this.#rate]));
  }

  /** Forget the counts of items that nobody asks about any more. */
  forget(item) {
    this.#played.delete(item);
  }

  /** Fill a block of one channel, with silence where there is no sound. */
  pull(block) {
    const step = 1 / (FADE_S * this.#rate);
    const fade = Math.ceil(FADE_S * this.#rate);
    for (let i = 0; i < block.length; i++) {
      this.#decide(fade);
      if (!this.#rising && this.#gain === 0) {
        block[i] = 0;
        continue;
      }
      this.#gain = this.#rising ? Math.min(1, this.#gain + step) : Math.max(0, this.#gain - step);
      block[i] = this.#next() * this.#gain;
    }
  }

  /** Rise when there is enough, fall while there is still something to fall with. */
  #decide(fade) {
    if (this.#left === 0) {
      this.#gain = 0;
      this.#rising = false;
    } else if (this.#rising && this.#open && this.#left <= fade) {
      // The next piece is late. Fade out over what is left rather than break off.
      this.#rising = false;
      this.#late = true;
    } else if (this.#rising && !this.#open && this.#left <= fade) {
      this.#rising = false; // the end
    } else if (!this.#rising && this.#gain === 0) {
      this.#begin();
    }
  }

  #begin() {
    // After a gap twice as much has to be there, since the next piece may be as late.
    const lead = this.#late ? Math.min(MOST_LEAD_S, 2 * this.#lead) : this.#lead;
    if (this.#open && this.#left < lead * this.#rate) return;
    this.#rising = true;
    if (!this.#late) return;
    this.#late = false;
    this.#lead = lead;
    this.gaps += 1;
  }

  #next() {
    const piece = this.#pieces[0];
    const value = piece.samples[piece.at++];
    this.#played.set(piece.item, (this.#played.get(piece.item) ?? 0) + 1);
    this.#left -= 1;
    if (piece.at === piece.samples.length) this.#pieces.shift();
    return value;
  }
}
