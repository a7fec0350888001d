// The speaker's side of the audio thread.

import { PlaybackPort } from "../logic/playback_port.mjs";

class Playback extends AudioWorkletProcessor {
  #queue = new PlaybackPort(sampleRate, (message) => this.port.postMessage(message));

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this.#queue.take(data);
  }

  process(_inputs, [output]) {
    this.#queue.fill(output[0]);
    return true;
  }
}

registerProcessor("playback", Playback);
