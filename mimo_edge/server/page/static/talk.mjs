// The conversation: who speaks, what is sent, what is played. Knows no element of the page.

import * as events from "./logic/client_events.mjs";
import { EMPTY, history, phase, reduce } from "./logic/conversation.mjs";
import { RATE, toBase64 } from "./logic/pcm.mjs";
import { Measures } from "./logic/measures.mjs";
import { Recording, Sent } from "./logic/recording.mjs";
import { Connection } from "./net/connection.mjs";
import { Microphone } from "./sound/microphone.mjs";
import { Player } from "./sound/player.mjs";

/** After a push the microphone stays open for so long, so that the next one loses no word. */
const KEEP_MICROPHONE_MS = 60000;
/** What is still recorded after the button is let go. */
const TAIL_MS = 120;
/** A push shorter than this holds no word. */
const SHORTEST_S = 0.25;

/** Errors of the server that tell nothing to a person: two messages that crossed each other. */
const CROSSED = new Set(["response_cancel_not_active"]);

/**
 * `told.changed()` is called after every change, `told.event(event)` with each event of the server,
 * `told.connection(state, details)`, and `told.wrong(sentence)`.
 */
export class Talk {
  #settings;
  #told;
  #model;
  #connection;
  #player = null;
  #microphone = null;
  #sent = new Sent();
  #sentAt = 0; // when the end of `#sent` was heard
  #sending = false;
  #speech = null; // where in `#sent` the turn began
  #ignored = new Set(); // responses that were interrupted
  #push = null; // the beginning of a push that is under way
  #waiting = 0; // things to send that wait for the connection
  #release = null;
  conversation = EMPTY;
  measures = new Measures();
  recording = new Recording();
  listening = false;
  starting = false;
  gaps = 0;

  constructor(settings, model, told) {
    this.#settings = settings;
    this.#model = model;
    this.#told = told;
    this.#connection = new Connection({
      event: (event) => this.#take(event),
      state: (state, details) => this.#connected(state, details),
    });
  }

  /** `hearing`, `speaking`, `thinking` or `idle`. */
  get phase() {
    return phase(this.conversation);
  }

  /** What the microphone hears and what is played, for the picture; null: nothing. */
  get analysers() {
    return {
      user: this.listening && this.#microphone ? this.#microphone.analyser : null,
      model: this.#player?.analyser ?? null,
    };
  }

  /** What the browser really set of the microphone; null: none is open. */
  get microphone() {
    return this.#microphone?.settings ?? null;
  }

  /** Listen until `stop`; the server hears when a turn is over. */
  async start() {
    await this.#begin(async () => {
      await this.#openMicrophone();
      await this.#connection.open();
    });
    this.#sending = this.listening;
  }

  /** Stop listening. An answer goes on. */
  stop() {
    this.listening = this.#sending = false;
    this.#connection.send(events.clearInput());
    this.#closeMicrophone();
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
      await this.#openMicrophone();
      await this.#connection.open();
      await this.#interrupt();
    });
    this.#connection.send(events.clearInput());
    this.#speech = this.#sent.length;
    this.#sending = true;
    this.#reduce({ type: "local.hearing", hearing: true });
  }

  /** Send what was said since `push`. Resolves to whether there was enough of it. */
  async letGo() {
    const asked = now();
    try {
      await this.#push;
    } catch {
      return true; // it was told when it began
    }
    await after(TAIL_MS);
    this.listening = this.#sending = false;
    this.#reduce({ type: "local.hearing", hearing: false });
    this.#release = setTimeout(() => this.#closeMicrophone(), KEEP_MICROPHONE_MS);
    if (this.#sent.length - this.#speech < SHORTEST_S * RATE) {
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
    return this.#ask(() => events.textItem(newId(), text));
  }

  /** Ask with a recording: Int16Array of 24 kHz. */
  sendSound(samples) {
    this.recording.add("user", now(), samples);
    return this.#ask(() => events.audioItem(newId(), toBase64(samples)));
  }

  async #ask(item) {
    this.#waiting += 1;
    try {
      await this.#openPlayer();
      await this.#connection.open();
    } finally {
      this.#waiting -= 1;
    }
    await this.#interrupt();
    this.measures.asked(now());
    this.#connection.send(item());
    this.#connection.send(events.createResponse());
  }

  /** Tell the server what the settings say now. */
  settingsChanged() {
    this.#connection.send(this.#session());
  }

  /** Take the microphone as the settings say now. */
  async microphoneChanged() {
    if (this.#microphone === null) return;
    this.#closeMicrophone();
    if (this.listening) await this.#openMicrophone();
    this.#told.changed();
  }

  /** Forget everything that was said. */
  async forget() {
    if (this.listening) this.stop();
    await this.#player?.clear();
    this.#connection.close();
    this.conversation = EMPTY;
    this.measures = new Measures();
    this.recording = new Recording();
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
      await this.#openPlayer();
      await open();
    } catch (error) {
      this.listening = this.#sending = false;
      throw error;
    } finally {
      this.starting = false;
      this.#told.changed();
    }
  }

  async #openPlayer() {
    this.#player ??= await Player.open({
      changed: ({ playing, gaps, dropped }) => {
        this.gaps = gaps;
        if (dropped) this.#told.wrong("The answer came faster than it can be kept; a part is lost.");
        this.#reduce({ type: "local.playing", playing });
      },
      began: (item, time) => this.measures.began(item, time),
      ended: ({ item, begin, samples }) => {
        this.measures.heard(item, samples.length / RATE);
        if (begin !== null) this.recording.add("assistant", begin, samples);
        this.#told.changed();
      },
    });
  }

  async #openMicrophone() {
    this.#microphone ??= await Microphone.open({
      device: this.#settings.get("microphone"),
      headphones: this.#settings.get("headphones"),
      heard: (samples) => this.#heard(samples),
      lost: () => {
        this.stop();
        this.#told.wrong("The microphone is gone. Plug it in, or choose another one.");
      },
    });
  }

  #closeMicrophone() {
    this.#microphone?.close();
    this.#microphone = null;
  }

  #heard(samples) {
    if (!this.#sending || this.#connection.state !== "open") return;
    if (!this.#connection.send(events.append(toBase64(samples)))) return;
    this.#sent.add(samples);
    this.#sentAt = now();
  }

  /** When the sample of this position was heard. */
  #timeOf(position) {
    return this.#sentAt - (this.#sent.length - position) / RATE;
  }

  #session() {
    const get = (name) => this.#settings.get(name);
    return events.sessionUpdate({
      handsFree: get("mode") === "hands-free",
      voice: get("voice"),
      instructions: get("instructions"),
      spoken: get("spoken"),
      model: this.#model(),
    });
  }

  #connected(state, details) {
    if (state === "waiting" || state === "closed") {
      this.#reduce({ type: "local.closed" });
      this.#player?.endAll();
      if (state === "closed" && details.meant && this.listening) this.stop();
      // A lost connection that nobody uses comes back with the next word.
      if (state === "waiting" && !this.listening && this.#waiting === 0) this.#connection.close();
    }
    this.#told.connection(this.#connection.state, details);
  }

  #take(event) {
    HANDLERS[event.type]?.(this, event);
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
    if (response !== null) {
      this.#ignored.add(response);
      if (cancel) this.#connection.send(events.cancelResponse());
    }
    for (const { item, seconds } of (await this.#player?.clear()) ?? []) {
      this.#connection.send(events.truncate(item, seconds));
    }
  }

  static handlers() {
    const samples = (ms) => Math.round((ms * RATE) / 1000);
    return {
      "session.created": (talk) => {
        talk.#sent = new Sent();
        talk.#connection.send(talk.#session());
        for (const item of history(talk.conversation)) talk.#connection.send(events.pastItem(item));
      },
      "input_audio_buffer.speech_started": (talk, { audio_start_ms: start }) => {
        talk.#speech = samples(start);
        talk.#interrupt({ cancel: false }); // the server did
      },
      "input_audio_buffer.speech_stopped": (talk, { audio_end_ms: end }) =>
        talk.measures.asked(talk.#timeOf(samples(end - events.SILENCE_MS))),
      "input_audio_buffer.committed": (talk) => {
        const begin = talk.#speech ?? talk.#sent.length;
        const part = talk.#sent.part(begin, talk.#sent.length);
        talk.recording.add("user", talk.#timeOf(begin), part);
      },
      "response.created": (talk, { response }) => talk.measures.created(response.id),
      "response.output_audio.delta": (talk, event) => {
        if (talk.#ignored.has(event.response_id)) return;
        const seconds = talk.#player?.push(event.item_id, event.delta) ?? 0;
        if (seconds) talk.measures.came(event.response_id, event.item_id, now(), seconds);
      },
      "response.output_audio.done": (talk, { item_id: item }) => talk.#player?.end(item),
      error: (talk, { error }) => {
        if (!CROSSED.has(error.code)) talk.#told.wrong(error.message);
      },
    };
  }
}

const HANDLERS = Talk.handlers();

const now = () => performance.now() / 1000;
const after = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function newId() {
  // Not `randomUUID`, which exists only where the microphone does.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `item_${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
