// The microphone's side of the audio thread: the context's rate in, 24 kHz 16 bit out.

import { RATE, toInt16 } from "../logic/pcm.mjs";
import { Resampler } from "../logic/resampler.mjs";

/** Samples of one message: 40 ms. */
const BLOCK = 960;

class Capture extends AudioWorkletProcessor {
  #resampler = new Resampler(sampleRate, RATE);
  #block = new Float32Array(BLOCK);
  #filled = 0;
  #over = false;

  constructor() {
    super();
    this.port.onmessage = () => (this.#over = true); // the microphone was closed
  }

  process([input]) {
    if (this.#over) return false;
    if (input.length === 0) return true; // nothing is connected yet
    for (const value of this.#resampler.process(input[0])) {
      this.#block[this.#filled++] = value;
      if (this.#filled === BLOCK) {
        const samples = toInt16(this.#block);
        this.port.postMessage(samples, [samples.buffer]);
        this.#filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("capture", Capture);
