// The big button: press, hold, switch.

import { Press } from "../logic/press.mjs";
import { the } from "./elements.mjs";

const HINTS = {
  "hands-free": {
    off: "Press to talk",
    idle: "Listening. Just speak.",
    hearing: "Hearing you",
    thinking: "Thinking",
    speaking: "Speaking. You can speak over it.",
  },
  push: {
    off: "Hold to talk, or press once to begin and once to send",
    idle: "Listening",
    hearing: "Listening. Let go, or press again, to send.",
    thinking: "Thinking",
    speaking: "Speaking. Press to interrupt.",
  },
};

/** Turns what fingers, keys and assistive technology do into `on()` and `off()`. */
export class TalkButton {
  #button = the("talk");
  #press = new Press();
  #held = false; // whether the last click was already taken as a press
  #mode;
  #told;

  /** `mode()` returns `hands-free` or `push`; `told` has `on()` and `off()`. */
  constructor(mode, told) {
    this.#mode = mode;
    this.#told = told;
    const button = this.#button;
    button.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || mode() !== "push") return;
      button.setPointerCapture(event.pointerId);
      this.#down();
    });
    for (const type of ["pointerup", "pointercancel"]) {
      button.addEventListener(type, () => this.#up());
    }
    button.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      if (mode() !== "push") return;
      event.preventDefault();
      if (!event.repeat) this.#down();
    });
    button.addEventListener("keyup", (event) => {
      if (event.key === " " || event.key === "Enter") this.#up();
    });
    button.addEventListener("blur", () => this.#up());
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("click", () => this.#clicked());
  }

  /** Draw the state; `listening` may have ended by itself. */
  show({ listening, starting, phase, usable }) {
    if (!listening && !starting) this.#press.release();
    else if (!this.#held) this.#press.on = listening;
    const mode = this.#mode();
    const busy = phase === "thinking" || phase === "speaking";
    const hint = starting ? "Starting" : HINTS[mode][listening || busy ? phase : "off"];
    this.#button.disabled = !usable;
    this.#button.ariaPressed = String(listening);
    this.#button.dataset.phase = starting ? "starting" : phase;
    const text = usable ? hint : "Write, or send a sound file";
    if (the("hint").textContent !== text) the("hint").textContent = text;
  }

  /** How loud it is, 0…1. */
  set level(level) {
    this.#button.style.setProperty("--level", level.toFixed(2));
  }

  #down() {
    this.#held = true;
    const before = this.#press.on;
    this.#press.down(performance.now());
    if (!before) this.#told.on();
  }

  #up() {
    if (!this.#held) return;
    this.#press.up(performance.now());
    if (!this.#press.on) this.#told.off();
    setTimeout(() => (this.#held = false)); // the click of this press comes first
  }

  #clicked() {
    if (this.#held) return;
    this.#press.toggle();
    if (this.#press.on) this.#told.on();
    else this.#told.off();
  }
}
