// WAV files.

/** Int16Array of each channel, equally long → the bytes of a WAV file. */
export function wav(channels, rate) {
  const frames = channels[0].length;
  const frameBytes = 2 * channels.length;
  const bytes = new Uint8Array(44 + frames * frameBytes);
  const view = new DataView(bytes.buffer);
  const word = (at, text) => bytes.set([...text].map((c) => c.charCodeAt(0)), at);
  word(0, "RIFF");
  view.setUint32(4, 36 + frames * frameBytes, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, channels.length, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * frameBytes, true);
  view.setUint16(32, frameBytes, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, frames * frameBytes, true);
  channels.forEach((channel, c) => {
    for (let i = 0; i < frames; i++) view.setInt16(44 + i * frameBytes + 2 * c, channel[i], true);
  });
  return bytes;
}
