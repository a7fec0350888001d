// The conversation: who speaks, what is sent, what is played. Knows no element of the page.

import * as events from "./logic/client_events.mjs";
import { EMPTY, phase, reduce } from "./logic/conversation.mjs";
import { RATE, toBase64 } from "./logic/pcm.mjs";
import { Recording } from "./logic/recording.mjs";
import { Connection } from "./net/connection.mjs";
import { Answers } from "./sound/answers.mjs";
import { Ears } from "./sound/ears.mjs";
import { handlers } from "./server_events.mjs";

/** After a push the microphone stays open for so long, so that the next one loses no word. */
const KEEP_MICROPHONE_MS = 60000;
/** What is still recorded after the button is let go. */
const TAIL_MS = 120;
/** Samples of a file that are sent in one message. */
const FILE_PIECE = 5 * RATE;
/** A push shorter than this holds no word. */
const SHORTEST_S = 0.25;

/**
 * `told.changed()` is called after every change, `told.event(event)` with each event of the server,
 * `told.connection(state, details)`, and `told.wrong(sentence)`.
 */
export class Talk {
  #settings;
  #told;
  #model;
  #connection;
  #ears;
  #answers;
  #handlers;
  #push = null; // the beginning of a push that is under way
  #waiting = 0; // things to send that wait for the connection
  #release = null;
  conversation = EMPTY;
  recording = new Recording();
  listening = false;
  starting = false;

  constructor(settings, model, told) {
    this.#settings = settings;
    this.#model = model;
    this.#told = told;
    this.#ears = new Ears(settings, {
      sound: (samples, live) => this.#send(samples, live),
      lost: () => this.#lost(),
    });
    this.#answers = new Answers({
      speaker: () => settings.get("speaker"),
      playing: (playing) => this.#reduce({ type: "local.playing", playing }),
      changed: told.changed,
      heard: (begin, samples) => this.recording.add("assistant", begin, samples),
      wrong: told.wrong,
    });
    this.#connection = new Connection({
      event: (event) => this.#take(event),
      state: (state, details) => this.#connected(state, details),
    });
    this.#handlers = handlers(
      { connection: this.#connection, ears: this.#ears, answers: this.#answers },
      {
        conversation: () => this.conversation,
        session: () => this.#session(),
        interrupted: () => this.#interrupt({ cancel: false }), // the server has cancelled it
        spoken: ({ begin, samples }) => this.recording.add("user", begin, samples),
        wrong: told.wrong,
      },
    );
  }

  /** `hearing`, `speaking`, `thinking` or `idle`. */
  get phase() {
    return phase(this.conversation);
  }

  /** How fast the answers are. */
  get measures() {
    return this.#answers.measures;
  }

  /** What the microphone hears and what is played, for the picture; null: nothing. */
  get analysers() {
    return {
      user: this.listening ? this.#ears.analyser : null,
      model: this.#answers.analyser,
    };
  }

  /** What the browser really set of the microphone; null: none is open. */
  get microphone() {
    return this.#ears.real;
  }

  /** Listen until `stop`; the server hears when a turn is over. */
  async start() {
    await this.#begin(async () => {
      await this.#ears.open();
      this.#hold();
      await this.#connection.open();
    });
    if (this.listening) this.#ears.send();
    else this.#ears.close(); // it was switched off meanwhile
  }

  /** Stop listening. An answer goes on. */
  stop() {
    this.#pause();
    this.#connection.send(events.clearInput());
    this.#ears.close();
    this.#reduce({ type: "local.hearing", hearing: false });
  }

  /** Listen until `letGo`. */
  push() {
    this.#push = this.#beginPush();
    return this.#push;
  }

  async #beginPush() {
    clearTimeout(this.#release);
    await this.#begin(async () => {
      await this.#interrupt();
      await this.#ears.open();
      this.#hold();
      this.#reduce({ type: "local.hearing", hearing: true });
      await this.#connection.open();
    });
    this.#connection.send(events.clearInput());
    this.#ears.turnBegan();
    this.#ears.send();
  }

  /** Send what was said since `push`. Resolves to whether there was enough of it. */
  async letGo() {
    const asked = now();
    await after(TAIL_MS);
    this.#ears.stopHearing();
    try {
      await this.#push;
    } catch {
      return true; // it was told when it began
    }
    this.#pause();
    this.#reduce({ type: "local.hearing", hearing: false });
    this.#release = setTimeout(() => this.#ears.close(), KEEP_MICROPHONE_MS);
    if (this.#ears.turnSeconds < SHORTEST_S) {
      this.#connection.send(events.clearInput());
      return false;
    }
    this.measures.asked(asked);
    this.#connection.send(events.commit());
    this.#connection.send(events.createResponse());
    return true;
  }

  /** Ask in writing. */
  sendText(text) {
    return this.#ask(() => this.#connection.send(events.textItem(text)));
  }

  /** Ask with a recording: Int16Array of 24 kHz. */
  sendSound(samples) {
    return this.#ask(() => {
      // As one turn, whatever the server would hear in it. Nothing comes between these: the
      // microphone's sound arrives in events of its own.
      this.#connection.send(this.#session({ handsFree: false }));
      this.#connection.send(events.clearInput());
      this.#ears.turnBegan();
      for (let at = 0; at < samples.length; at += FILE_PIECE) {
        this.#ears.take(samples.subarray(at, at + FILE_PIECE));
      }
      this.#connection.send(events.commit());
      this.#connection.send(this.#session());
    });
  }

  async #ask(send) {
    this.#waiting += 1;
    try {
      await this.#answers.open();
      await this.#connection.open();
    } finally {
      this.#waiting -= 1;
    }
    await this.#interrupt();
    this.measures.asked(now());
    send();
    this.#connection.send(events.createResponse());
  }

  /** Tell the server what the settings say now. */
  settingsChanged() {
    this.#connection.send(this.#session());
  }

  /** Take the microphone as the settings say now. */
  async microphoneChanged() {
    if (this.#ears.real === null) return;
    this.#ears.close();
    if (this.listening) await this.#ears.open();
    this.#told.changed();
  }

  /** Forget everything that was said. */
  async forget() {
    if (this.listening) this.stop();
    await this.#answers.silence(this.conversation.response);
    this.#connection.close();
    this.conversation = EMPTY;
    this.recording = new Recording();
    this.#answers.forget();
    this.#told.changed();
  }

  /** Try a lost connection now. */
  reconnect() {
    this.#connection.open().catch(() => {});
  }

  async #begin(open) {
    this.listening = this.starting = true;
    this.#told.changed();
    try {
      await this.#answers.open();
      await open();
    } catch (error) {
      this.#pause();
      this.#reduce({ type: "local.hearing", hearing: false });
      throw error;
    } finally {
      this.starting = false;
      this.#told.changed();
    }
  }

  #send(samples, live) {
    if (this.#connection.state !== "open") return false;
    // A file may wait; live sound that waits only comes too late.
    if (live && !this.#connection.follows) return false;
    return this.#connection.send(events.append(toBase64(samples)));
  }

  /** The person can speak now, even if the connection comes a little later. */
  #hold() {
    this.#ears.hold();
    this.starting = false;
    this.#told.changed();
  }

  #pause() {
    this.listening = false;
    this.#ears.pause();
  }

  #lost() {
    this.stop();
    this.#told.wrong("The microphone is gone. Plug it in, or choose another one.");
  }

  #session({ handsFree = this.#settings.get("mode") === "hands-free" } = {}) {
    const get = (name) => this.#settings.get(name);
    return events.sessionUpdate({
      handsFree,
      voice: get("voice"),
      instructions: get("instructions"),
      spoken: get("spoken"),
      model: this.#model(),
    });
  }

  #connected(state, details) {
    if (state === "waiting" || state === "closed") {
      this.#reduce({ type: "local.closed" });
      this.#answers.end();
      if (state === "closed" && details.meant && this.listening) this.stop();
      // A lost connection that nobody uses comes back with the next word.
      if (state === "waiting" && !this.listening && this.#waiting === 0) this.#connection.close();
    }
    this.#told.connection(this.#connection.state, details);
  }

  #take(event) {
    this.#handlers[event.type]?.(event);
    this.#told.event(event);
    this.#reduce(event);
  }

  #reduce(event) {
    this.conversation = reduce(this.conversation, event);
    this.#told.changed();
  }

  /** Fall silent, and let the server forget what was not heard. */
  async #interrupt({ cancel = true } = {}) {
    const { response } = this.conversation;
    if (response !== null && cancel) this.#connection.send(events.cancelResponse());
    for (const { item, seconds } of await this.#answers.silence(response)) {
      this.#connection.send(events.truncate(item, seconds));
    }
  }
}

const now = () => performance.now() / 1000;
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
