// Sound as the server speaks of it: 24 kHz, one channel, signed 16 bit, little endian, base64.

/** Samples a second, in both directions. */
export const RATE = 24000;

/** Float32Array in −1…1 → Int16Array; what is louder is clipped. */
export function toInt16(samples) {
  const out = new Int16Array(samples.length);
  for (let i = 0; i < samples.length; i++) {
    out[i] = Math.round(Math.max(-1, Math.min(1, samples[i])) * 32767);
  }
  return out;
}

/** Int16Array → Float32Array. */
export function toFloat(samples) {
  const out = new Float32Array(samples.length);
  for (let i = 0; i < samples.length; i++) out[i] = samples[i] / 32768;
  return out;
}

/** Int16Array → base64, in steps that a call's arguments can hold. */
export function toBase64(samples) {
  const bytes = new Uint8Array(samples.length * 2);
  const view = new DataView(bytes.buffer);
  samples.forEach((value, i) => view.setInt16(2 * i, value, true));
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/** base64 → Int16Array; an odd last byte is dropped. */
export function fromBase64(text) {
  const bytes = atob(text);
  const out = new Int16Array(bytes.length >> 1);
  for (let i = 0; i < out.length; i++) {
    out[i] = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
  }
  return out;
}

/** Several Int16Array in a row as one. */
export function concatenated(pieces) {
  const out = new Int16Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    out.set(piece, at);
    at += piece.length;
  }
  return out;
}

/** All channels of a sound as one: their mean. */
export function mono(channels) {
  if (channels.length === 1) return channels[0];
  const out = new Float32Array(channels[0].length);
  for (const channel of channels) {
    for (let i = 0; i < out.length; i++) out[i] += channel[i] / channels.length;
  }
  return out;
}
