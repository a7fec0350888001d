// The one audio context of the page.

let context = null;

/**
 * The context, running. To be called in a click: browsers start sound only then. It keeps the
 * device's own rate, since Firefox refuses to mix rates.
 */
export async function audioContext() {
  context ??= new AudioContext({ latencyHint: "interactive" });
  if (context.state !== "running") await context.resume();
  return context;
}

/** Whether sound can be captured and played in the audio thread at this address. */
export function hasWorklets() {
  return "AudioContext" in window && "audioWorklet" in AudioContext.prototype;
}

/** Play through this device; "" is the usual one. False if the browser cannot choose. */
export async function chooseSpeaker(id) {
  if (!canChooseSpeaker()) return false;
  await (await audioContext()).setSinkId(id);
  return true;
}

/** Whether the browser lets a page choose the speaker. */
export function canChooseSpeaker() {
  return "AudioContext" in window && "setSinkId" in AudioContext.prototype;
}
