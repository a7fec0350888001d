// The page: connects what is seen to the conversation.

import { whyNoMicrophone, whyRefused } from "./logic/places.mjs";
import { RATE } from "./logic/pcm.mjs";
import { wav } from "./logic/wav.mjs";
import { Ended } from "./net/connection.mjs";
import { health } from "./net/server.mjs";
import { Settings } from "./settings_store.mjs";
import { hasWorklets } from "./sound/context.mjs";
import { readSound, save } from "./sound/files.mjs";
import { Talk } from "./talk.mjs";
import { Announcer } from "./view/announcer.mjs";
import { the } from "./view/elements.mjs";
import { modelNameWithKey } from "./view/key_dialog.mjs";
import { notice, withdraw } from "./view/notices.mjs";
import { SettingsView } from "./view/settings.mjs";
import { TalkButton } from "./view/talk_button.mjs";
import { setUpTheme } from "./view/theme.mjs";
import { Transcript } from "./view/transcript.mjs";
import { VoiceChoice } from "./view/voice_choice.mjs";
import { Voices } from "./view/voices.mjs";

const noMicrophone = whyNoMicrophone({
  secure: isSecureContext,
  mediaDevices: Boolean(navigator.mediaDevices?.getUserMedia),
  worklet: hasWorklets(),
  port: location.port,
});

const settings = new Settings();
if (noMicrophone) settings.set("mode", "push"); // nothing to be free of
let model = "";

const talk = new Talk(settings, () => model, {
  changed: showSoon,
  event: (event) => announcer.take(event),
  connection: showConnection,
  wrong: (sentence) => notice("wrong", { text: sentence, kind: "wrong" }),
});

const announcer = new Announcer();
const transcript = new Transcript();
const voices = new Voices(
  the("voices"),
  () => talk.analysers,
  (level) => (button.level = level),
);
const button = new TalkButton(() => settings.get("mode"), { on: listen, off: stopListening });
const settingsView = new SettingsView(settings, {
  session: () => talk.settingsChanged(),
  microphone: () => attempt(() => talk.microphoneChanged()),
  mode: () => {
    if (talk.listening) talk.stop();
    talk.settingsChanged();
    show();
  },
  wrong: (sentence) => notice("wrong", { text: sentence, kind: "wrong" }),
});
const voiceChoice = new VoiceChoice(settings, {
  session: () => talk.settingsChanged(),
  usable: !noMicrophone,
});

let due = null;

/** Many small changes, drawn once. Not by animation frames: a tab in the background has none. */
function showSoon() {
  due ??= setTimeout(show);
}

function show() {
  due = null;
  const { conversation, listening, starting, phase, recording } = talk;
  transcript.show(conversation.items, talk.measures);
  button.show({ listening, starting, phase, usable: !noMicrophone });
  const { firstSound, realTimeFactor } = talk.measures.of();
  the("first-sound").textContent = firstSound === null ? "–" : `${firstSound.toFixed(2)} s`;
  the("factor").textContent = realTimeFactor === null ? "–" : realTimeFactor.toFixed(2);
  the("save-text").disabled = conversation.items.length === 0;
  the("save-sound").disabled = recording.empty;
  const echo = settingsView.showMicrophone(talk.microphone);
  if (echo && listening) notice("echo", { text: echo });
  if (listening || phase === "speaking") voices.wake();
}

/** Do something that needs the microphone or the server, and say what is wrong with it. */
async function attempt(what) {
  try {
    withdraw("microphone");
    return await what();
  } catch (error) {
    if (error instanceof Ended) return undefined;
    const named = error instanceof DOMException;
    notice("microphone", { text: named ? whyRefused(error.name) : error.message, kind: "wrong" });
    return undefined;
  }
}

async function listen() {
  keepAwake();
  await attempt(async () => {
    await (settings.get("mode") === "push" ? talk.push() : talk.start());
    withdraw("wrong");
  });
}

let awake = null;

/** A phone that goes to sleep hears nothing. Browsers give this up when the page is left. */
async function keepAwake() {
  if (!("wakeLock" in navigator) || (awake && !awake.released)) return;
  awake = await navigator.wakeLock.request("screen").catch(() => null); // only a convenience
}

async function stopListening() {
  awake?.release();
  if (settings.get("mode") !== "push") {
    talk.stop();
  } else if (!(await talk.letGo())) {
    notice("short", { text: "That was too short. Hold the button while you speak." });
    return;
  }
  withdraw("short");
}

function showConnection(state, { seconds, message, lost }) {
  const words = {
    connecting: "Connecting",
    open: "Connected",
    waiting: "Waiting for the server",
    closed: "Ready",
  };
  showState(state === "closed" ? "ready" : state, words[state]);
  if (state !== "connecting") withdraw("wrong"); // of the old connection, or said below
  if (state === "open") {
    withdraw("connection");
  } else if (state === "waiting") {
    // A handshake that is refused does not say why; perhaps the server wants another key now.
    if (!message) modelNameWithKey().catch(() => {});
    notice("connection", {
      title: lost ? "The connection to the server is lost" : "The server takes no conversation now",
      text: `${message ?? "It may have been stopped."} Trying again in ${Math.ceil(seconds)} s.`,
      kind: "wrong",
      action: { text: "Try now", run: () => talk.reconnect() },
    });
  } else if (state === "closed" && message) {
    notice("connection", { text: message });
  }
}

function showState(state, words) {
  the("state").dataset.state = state;
  the("state").firstElementChild.textContent = words;
}

function setUpWriting() {
  const text = the("text");
  the("typed").onsubmit = (event) => {
    event.preventDefault();
    const words = text.value.trim();
    if (!words) return;
    text.value = "";
    attempt(() => talk.sendText(words));
  };
  text.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    the("typed").requestSubmit();
  };
  the("file").onchange = ({ target }) => {
    const [file] = target.files;
    if (file) sendFile(file);
    target.value = "";
  };
  document.body.ondragover = (event) => event.preventDefault();
  document.body.ondrop = (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) sendFile(file);
  };
}

const sendFile = (file) => attempt(async () => talk.sendSound(await readSound(file)));

function setUpSaving() {
  const name = () => `conversation-${new Date().toISOString().slice(0, 16).replace(":", "")}`;
  the("save-sound").onclick = () =>
    save(`${name()}.wav`, wav(talk.recording.channels(), RATE), "audio/wav");
  the("save-text").onclick = () => {
    const lines = talk.conversation.items
      .filter((item) => item.text)
      .map((item) => `${item.role === "user" ? "You" : "Model"}: ${item.text}`);
    save(`${name()}.txt`, `${lines.join("\n")}\n`, "text/plain");
  };
  the("forget").onclick = () => {
    talk.forget();
    the("settings").close();
  };
}

/** Wait until the model is loaded, ask for a key if it takes one, and say so. */
async function meetServer() {
  try {
    for (let state = await health(); state === "loading"; state = await health()) {
      showState("loading", "Loading the model");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    model = await modelNameWithKey();
    the("model").textContent = model;
    document.title = `Talk to ${model}`;
    await voiceChoice.load();
    withdraw("server");
    showState("ready", "Ready");
  } catch (error) {
    showState("failed", "No answer");
    notice("server", {
      title: "The server cannot be used now",
      text: error.message,
      kind: "wrong",
      action: { text: "Try again", run: meetServer },
    });
  }
}

function tellAboutMicrophone() {
  if (!noMicrophone) return;
  document.querySelector(".modes").hidden = true;
  the("empty-how").textContent = "Write, or send a sound file. The answers are spoken.";
  notice("place", {
    title: noMicrophone.title,
    text: noMicrophone.text,
    action: { text: "How to use it from here", run: () => settingsView.open("phone") },
  });
}

for (const close of document.querySelectorAll("[data-close]")) {
  close.onclick = () => close.closest("dialog").close();
}
setUpTheme(() => voices.redraw());
setUpWriting();
setUpSaving();
tellAboutMicrophone();
show();
meetServer();
