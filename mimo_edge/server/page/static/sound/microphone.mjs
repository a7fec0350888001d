// The microphone, as 24 kHz 16 bit in pieces of 40 ms.

import { audioContext } from "./context.mjs";

/** An open microphone. `analyser` sees what it hears; `settings` is what the browser really set. */
export class Microphone {
  #stream;
  #nodes;

  /** Asks the person. `heard` gets an Int16Array at a time, `lost` is called if it goes away. */
  static async open({ device, headphones, heard, lost }) {
    const context = audioContext();
    // With headphones the model cannot be heard by the microphone, and what removes echo would
    // only take from the person's voice.
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: {
        ...(device ? { deviceId: { exact: device } } : {}),
        channelCount: 1,
        echoCancellation: !headphones,
        noiseSuppression: !headphones,
        autoGainControl: true,
      },
    });
    audioContext(); // allowed now, even if it was not before
    try {
      await context.audioWorklet.addModule("/page/worklets/capture.mjs");
      return new Microphone(context, stream, heard, lost);
    } catch (error) {
      for (const track of stream.getTracks()) track.stop();
      throw error;
    }
  }

  constructor(context, stream, heard, lost) {
    const source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
    const capture = new AudioWorkletNode(context, "capture", {
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    capture.port.onmessage = ({ data }) => heard(data);
    this.analyser = new AnalyserNode(context, { fftSize: 1024 });
    source.connect(capture);
    source.connect(this.analyser);
    const [track] = stream.getAudioTracks();
    track.onended = lost;
    this.settings = track.getSettings();
    this.#stream = stream;
    this.#nodes = [source, capture];
  }

  /** Let go of it; the browser's sign that somebody listens goes out. */
  close() {
    for (const track of this.#stream.getTracks()) {
      track.onended = null;
      track.stop();
    }
    const [source, capture] = this.#nodes;
    source.disconnect();
    capture.port.onmessage = null;
    capture.port.postMessage("over");
  }
}

/** Microphones and speakers: {microphones, speakers}, each a list of {id, name}. */
export async function devices() {
  const all = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const of = (kind) =>
    all
      .filter((device) => device.kind === kind && device.deviceId && device.deviceId !== "default")
      .map((device) => ({ id: device.deviceId, name: device.label || "Without a name" }));
  return { microphones: of("audioinput"), speakers: of("audiooutput") };
}
