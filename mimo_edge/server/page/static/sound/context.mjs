// The one audio context of the page.

let context = null;

/**
 * The context, which runs as soon as the browser lets it: in a click, or while the page may hear
 * the microphone. It keeps the device's own rate, since Firefox refuses to mix rates.
 */
export function audioContext() {
  context ??= new AudioContext({ latencyHint: "interactive" });
  resume();
  return context;
}

// A finger that goes down is no click yet: what began with it gets its sound when it goes up.
for (const type of ["pointerup", "click", "keyup"]) addEventListener(type, resume);

function resume() {
  // Nobody waits for it: it may take until the next click. A context that was closed fails.
  if (context && context.state !== "running") context.resume().catch(() => {});
}

/** Whether sound can be captured and played in the audio thread at this address. */
export function hasWorklets() {
  return "AudioContext" in window && "audioWorklet" in AudioContext.prototype;
}

/** Play through this device; "" is the usual one. False if the browser cannot choose. */
export async function chooseSpeaker(id) {
  const context = audioContext();
  if (!canChooseSpeaker()) return false;
  if (id !== context.sinkId) await context.setSinkId(id);
  return true;
}

/** Whether the browser lets a page choose the speaker. */
export function canChooseSpeaker() {
  return "AudioContext" in window && "setSinkId" in AudioContext.prototype;
}
