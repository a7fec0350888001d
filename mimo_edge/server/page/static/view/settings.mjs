// The settings at the side.

import { aboutEcho } from "../logic/places.mjs";
import { canChooseSpeaker, chooseSpeaker } from "../sound/context.mjs";
import { devices } from "../sound/microphone.mjs";
import { make, the } from "./elements.mjs";

/**
 * Fills the dialog and keeps the settings. `told` has `session()` (voice, instructions or the form
 * of the answers changed), `microphone()`, `mode()`, and `wrong(sentence)`.
 */
export class SettingsView {
  #settings;
  #told;

  constructor(settings, told) {
    this.#settings = settings;
    this.#told = told;
    the("open-settings").onclick = () => this.open();
    this.#fields();
    this.#modes();
    this.#devices();
    the("speaker").disabled = !canChooseSpeaker();
    the("speaker-note").hidden = canChooseSpeaker();
    navigator.mediaDevices?.addEventListener("devicechange", () => this.showDevices());
  }

  /** Show them; `part` is the id of what should be unfolded and seen. */
  open(part) {
    this.showDevices();
    the("settings").showModal();
    if (!part) return;
    the(part).open = true;
    the(part).scrollIntoView();
    the(part).firstElementChild.focus();
  }

  /** What the browser really set of the open microphone; null: none is open. */
  showMicrophone(real) {
    const cancels = real?.echoCancellation ?? true; // until it is open nobody knows
    const sentence = aboutEcho({
      headphones: this.#settings.get("headphones"),
      handsFree: this.#settings.get("mode") === "hands-free",
      cancels: cancels !== false,
    });
    const state = cancels ? "on" : "off";
    const text = sentence ?? (real ? `Echo cancellation is ${state}.` : "");
    if (the("echo").textContent !== text) the("echo").textContent = text; // else it is read again
    return sentence;
  }

  /** The devices; their names are known once the microphone was allowed. */
  async showDevices() {
    const { microphones, speakers } = await devices();
    fill(the("microphone"), microphones, this.#settings.get("microphone"));
    fill(the("speaker"), speakers, this.#settings.get("speaker"));
  }

  #fields() {
    const { get, set } = bound(this.#settings);
    the("instructions").value = get("instructions");
    the("instructions").onchange = ({ target }) => {
      set("instructions", target.value.trim());
      this.#told.session();
    };
    the("spoken").checked = get("spoken");
    the("spoken").onchange = ({ target }) => {
      set("spoken", target.checked);
      this.#told.session();
    };
  }

  #modes() {
    for (const radio of document.querySelectorAll("input[name=mode]")) {
      radio.checked = radio.value === this.#settings.get("mode");
      radio.onchange = () => {
        this.#settings.set("mode", radio.value);
        this.#told.mode();
      };
    }
  }

  #devices() {
    the("microphone").onchange = ({ target }) => {
      this.#settings.set("microphone", target.value);
      this.#told.microphone();
    };
    the("headphones").checked = this.#settings.get("headphones");
    the("headphones").onchange = ({ target }) => {
      this.#settings.set("headphones", target.checked);
      this.#told.microphone();
    };
    the("speaker").onchange = async ({ target }) => {
      this.#settings.set("speaker", target.value);
      try {
        await chooseSpeaker(target.value);
      } catch {
        this.#told.wrong("This speaker cannot be used. Choose another one.");
      }
    };
  }
}

function bound(settings) {
  return { get: settings.get.bind(settings), set: settings.set.bind(settings) };
}

/** The options of a list of devices, behind "the usual one". */
function fill(select, found, chosen) {
  const options = found.map(({ id, name }) => make("option", { value: id }, name));
  select.replaceChildren(select.options[0], ...options);
  select.value = found.some(({ id }) => id === chosen) ? chosen : "";
}
