// The words of both sides.

import { make, the } from "./elements.mjs";

const NAMES = { user: "You", assistant: "Model" };
/** So near to the end, in pixels, the reader wants to see what comes. */
const NEAR = 80;

/** Draws the turns; changes only what changed. */
export class Transcript {
  #turns = new Map();
  #scroller = the("conversation");
  #list = the("turns");
  #latest = the("latest");
  #following = true;

  constructor() {
    this.#scroller.addEventListener("scroll", () => this.#scrolled());
    this.#latest.addEventListener("click", () => this.#follow());
    new ResizeObserver(() => this.#following && this.#follow()).observe(this.#scroller);
  }

  /** `measures.of(id)` tells the times of an answer. */
  show(items, measures) {
    the("empty").hidden = items.length > 0;
    this.#list.hidden = items.length === 0;
    const ids = new Set(items.map((item) => item.id));
    for (const [id, turn] of this.#turns) {
      if (!ids.has(id)) {
        turn.remove();
        this.#turns.delete(id);
      }
    }
    items.forEach((item, index) => {
      const turn = this.#turns.get(item.id) ?? this.#add(item);
      const there = this.#list.children[index];
      if (there !== turn) this.#list.insertBefore(turn, there ?? null);
      this.#fill(turn, item, about(item, measures.of(item.id)));
    });
    if (this.#following) this.#follow();
  }

  #add(item) {
    const who = make("p", { className: "who" }, NAMES[item.role]);
    const words = make("div", { className: "words" });
    const turn = make("li", { className: "turn" }, who, words, make("p", { className: "about" }));
    turn.dataset.role = item.role;
    this.#turns.set(item.id, turn);
    return turn;
  }

  #fill(turn, item, note) {
    const [, words, below] = turn.children;
    turn.dataset.state = item.state;
    if (words.textContent !== item.text) words.textContent = item.text;
    if (below.textContent !== note) below.textContent = note;
    below.hidden = note === "";
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#latest.hidden = this.#following;
  }

  #follow() {
    this.#following = true;
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

/** What stands below the words: the note and the times, as one sentence. */
function about(item, { firstSound, realTimeFactor, seconds, gaps }) {
  const parts = [];
  if (item.note) parts.push(item.note.replace(/\.$/, ""));
  if (seconds !== null && item.state !== "cut") parts.push(`${seconds.toFixed(1)} s of speech`);
  if (firstSound !== null) parts.push(`first sound after ${firstSound.toFixed(2)} s`);
  if (realTimeFactor !== null) parts.push(`real-time factor ${realTimeFactor.toFixed(2)}`);
  if (gaps) parts.push(gaps === 1 ? "one gap" : `${gaps} gaps`);
  const sentence = parts.join(" · ");
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
