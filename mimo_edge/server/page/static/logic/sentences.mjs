// Sentences out of text that comes in pieces.

const END = /[.!?…]["'”’)\]]*\s+|[。！？]["'”’」』）]*|\n+/u;

/** Collects text and gives out sentences when they are finished. */
export class Sentences {
  #open = "";

  /** The sentences that this piece finishes. */
  add(piece) {
    this.#open += piece;
    const done = [];
    for (let match = END.exec(this.#open); match; match = END.exec(this.#open)) {
      const end = match.index + match[0].length;
      const sentence = this.#open.slice(0, end).trim();
      if (sentence) done.push(sentence);
      this.#open = this.#open.slice(end);
    }
    return done;
  }

  /** The rest, as nothing more comes: a list of no or one sentence. */
  end() {
    const rest = this.#open.trim();
    this.#open = "";
    return rest ? [rest] : [];
  }
}
