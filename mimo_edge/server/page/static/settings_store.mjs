// What the person chose, kept in this browser.

const KEY = "mimo-edge-settings";

const DEFAULTS = {
  mode: "hands-free", // or "push"
  voice: "default",
  instructions: "",
  spoken: true,
  microphone: "",
  speaker: "",
  headphones: false,
};

/** The settings as they are now; change them by `set`. */
export class Settings {
  #values;

  constructor() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(KEY)) ?? {};
    } catch {
      // Somebody else wrote there; begin anew.
    }
    this.#values = { ...DEFAULTS, ...kept };
  }

  get(name) {
    return this.#values[name];
  }

  set(name, value) {
    this.#values[name] = value;
    localStorage.setItem(KEY, JSON.stringify(this.#values));
  }
}
