// The voice in which the model answers, and adding one.

import { concatenated, RATE } from "../logic/pcm.mjs";
import { wav } from "../logic/wav.mjs";
import { addVoice, deleteVoice, voices } from "../net/server.mjs";
import { Microphone } from "../sound/microphone.mjs";
import { make, the } from "./elements.mjs";

const LONGEST_S = 15;

export class VoiceChoice {
  #settings;
  #told;
  #sample = null; // {blob, name}
  #recording = null; // {microphone, pieces, timer}

  /** `told` has `session()` and `usable` (whether there is a microphone). */
  constructor(settings, told) {
    this.#settings = settings;
    this.#told = told;
    the("voice").onchange = ({ target }) => this.#choose(target.value);
    the("delete-voice").onclick = () => this.#delete();
    the("voice-record").disabled = !told.usable;
    the("voice-record").onclick = () => this.#record();
    the("voice-file").onchange = ({ target: { files } }) => {
      if (files.length) this.#take(files[0], files[0].name, files[0].name);
    };
    the("voice-form").onsubmit = (event) => {
      event.preventDefault();
      this.#save();
    };
    the("settings").addEventListener("close", () => this.#stop());
  }

  /** Ask the server which voices there are. */
  async load() {
    const found = await voices();
    const select = the("voice");
    select.replaceChildren(
      ...found.map(({ id, name, type }) => {
        const option = make("option", { value: id }, name);
        if (type) option.dataset.own = "";
        return option;
      }),
    );
    const chosen = this.#settings.get("voice");
    select.value = found.some(({ id }) => id === chosen) ? chosen : (found[0]?.id ?? "");
    if (select.value !== chosen) this.#settings.set("voice", select.value);
    this.#showDelete();
  }

  #choose(id) {
    this.#settings.set("voice", id);
    this.#showDelete();
    this.#told.session();
  }

  #showDelete() {
    const [option] = the("voice").selectedOptions;
    the("delete-voice").hidden = !option || !("own" in option.dataset);
  }

  async #delete() {
    const [option] = the("voice").selectedOptions;
    if (!confirm(`Delete the voice “${option.textContent}” from the server?`)) return;
    try {
      await deleteVoice(option.value);
      await this.load();
      this.#told.session();
    } catch (error) {
      this.#say(error.message);
    }
  }

  async #record() {
    if (this.#recording) {
      this.#stop();
      return;
    }
    const pieces = [];
    const show = () => {
      const seconds = (pieces.length * 0.04).toFixed(1);
      this.#say(`Recording: ${seconds} of at most ${LONGEST_S} s`);
      if (seconds >= LONGEST_S) this.#stop();
    };
    try {
      const microphone = await Microphone.open({
        device: this.#settings.get("microphone"),
        headphones: true, // a voice is best as it is
        heard: (samples) => pieces.push(samples),
        lost: () => this.#stop(),
      });
      the("voice-record").ariaPressed = "true";
      the("voice-record").textContent = "Stop";
      this.#recording = { microphone, pieces, timer: setInterval(show, 200) };
    } catch {
      this.#say("The microphone does not work. Choose a file instead.");
    }
  }

  #stop() {
    if (!this.#recording) return;
    const { microphone, pieces, timer } = this.#recording;
    this.#recording = null;
    clearInterval(timer);
    microphone.close();
    the("voice-record").ariaPressed = "false";
    the("voice-record").textContent = "Record";
    const samples = concatenated(pieces).subarray(0, LONGEST_S * RATE);
    const blob = new Blob([wav([samples], RATE)], { type: "audio/wav" });
    this.#take(blob, "recording.wav", `a recording of ${(samples.length / RATE).toFixed(1)} s`);
  }

  #take(blob, name, said) {
    this.#sample = { blob, name };
    this.#say(`Ready to save: ${said}.`);
  }

  async #save() {
    if (!this.#sample) {
      this.#say("Record the voice or choose a file first.");
      return;
    }
    this.#say("Saving…");
    try {
      const { blob, name } = this.#sample;
      const voice = await addVoice(the("voice-name").value.trim(), blob, name);
      this.#settings.set("voice", voice.id);
      await this.load();
      this.#told.session();
      this.#sample = null;
      the("voice-form").reset();
      this.#say(`Saved. The model answers in the voice “${voice.name}” from now on.`);
    } catch (error) {
      this.#say(error.message);
    }
  }

  #say(sentence) {
    the("voice-sample").textContent = sentence;
  }
}
