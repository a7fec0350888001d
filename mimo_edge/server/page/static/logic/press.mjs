// One button that can be held and toggled.

/** A press that is shorter than this switches; a longer one counts as holding. */
export const HOLD_MS = 350;

/**
 * What a press means. `down` and `up` come with a time in ms; `on` says whether the button is
 * pressed in the sense of `aria-pressed`.
 */
export class Press {
  on = false;
  #down = null;
  #wasOn = false;

  /** The finger or key goes down: switches on at once, so that no first word is lost. */
  down(now) {
    if (this.#down !== null) return;
    this.#down = now;
    this.#wasOn = this.on;
    this.on = true;
  }

  /** It goes up: ends what was held, or what was on before a short press. */
  up(now) {
    if (this.#down === null) return;
    const held = now - this.#down >= HOLD_MS;
    this.#down = null;
    if (held || this.#wasOn) this.on = false;
  }

  /** A click without a press, as assistive technology makes it. */
  toggle() {
    this.on = !this.on;
  }

  /** Off, whatever the finger does. */
  release() {
    this.#down = null;
    this.on = false;
  }
}
