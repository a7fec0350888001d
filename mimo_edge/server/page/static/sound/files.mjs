// Sound files that a person chooses.

import { mono, RATE, toInt16 } from "../logic/pcm.mjs";
import { resampled } from "../logic/resampler.mjs";
import { audioContext } from "./context.mjs";

/** A question longer than this does not fit into one message to the server. */
const LONGEST_S = 240;

/** The sound of a file as Int16Array of 24 kHz; throws an Error with a sentence. */
export async function readSound(file) {
  const context = audioContext();
  let decoded;
  try {
    decoded = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`The browser cannot read ${file.name} as sound. Try WAV, FLAC or MP3.`);
  }
  if (decoded.duration > LONGEST_S) {
    const minutes = Math.round(decoded.duration / 60);
    throw new Error(`${file.name} has ${minutes} minutes; a question can have ${LONGEST_S / 60}.`);
  }
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, c) =>
    decoded.getChannelData(c),
  );
  return toInt16(resampled(mono(channels), decoded.sampleRate, RATE));
}

/** Let the browser save bytes or text under a name. */
export function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}
