// What this browser allows at this address, in plain words.

/**
 * Why there is no microphone, as {title, text}; null if there is one. `secure`, `mediaDevices` and
 * `worklet` say what the browser has; `port` is the server's.
 */
export function whyNoMicrophone({ secure, mediaDevices, worklet, port }) {
  if (!secure) {
    return {
      title: "This address has no microphone",
      text:
        "Browsers give the microphone only to pages over https, or at the server's own machine " +
        `(http://localhost${port ? `:${port}` : ""}/). ` +
        "You can type, and send a sound file; the answers are spoken.",
    };
  }
  if (!mediaDevices || !worklet) {
    return {
      title: "This browser has no microphone for pages",
      text: "You can type, and send a sound file. A newer browser can do more.",
    };
  }
  return null;
}

/** Why a microphone that was asked for did not come; `name` is the error's name. */
export function whyRefused(name) {
  const sentences = {
    NotAllowedError:
      "The browser does not allow the microphone here. Allow it beside the address, " +
      "then press the button again. Meanwhile you can type, and send a sound file.",
    NotFoundError:
      "There is no microphone at this machine. You can type, and send a sound file.",
    NotReadableError:
      "The microphone is used by another program. Close that one, then press the button again.",
    OverconstrainedError:
      "The chosen microphone is gone. Choose another one in the settings.",
  };
  return sentences[name] ?? `The microphone does not work (${name}). You can type instead.`;
}

/** What to know about echo: a sentence, or null if there is nothing to say. */
export function aboutEcho({ headphones, handsFree, cancels }) {
  if (headphones || !handsFree || cancels) return null;
  return (
    "This browser does not remove the speaker's sound from the microphone. " +
    "Use headphones, or hold the button to talk; else the model hears itself."
  );
}
