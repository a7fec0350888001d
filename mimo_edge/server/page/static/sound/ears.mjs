// What the microphone hears, on its way to the server: when it was heard, and where a turn began.

import { RATE } from "../logic/pcm.mjs";
import { Sent } from "../logic/recording.mjs";
import { Microphone } from "./microphone.mjs";

/** So much is kept of what is said before there is a connection, in pieces of 40 ms. */
const MOST_HELD = 15 * 25;

/** The sound of one connection. Positions are samples since the connection was made. */
export class Ears {
  #settings;
  #told;
  #microphone = null;
  #opening = null; // so that there are never two
  #sent = new Sent();
  #sentAt = 0; // when the end of `#sent` was heard
  #turn = null; // where the turn began
  #held = null; // what was heard before it could be sent; null: nothing is held
  #sending = false;
  #deaf = false;

  /**
   * `told.sound(samples, live)` sends and returns whether it could; `told.lost()` is called when the
   * microphone goes away.
   */
  constructor(settings, told) {
    this.#settings = settings;
    this.#told = told;
  }

  /** Of the open microphone: what sees its sound, and what the browser really set; null: none. */
  get analyser() {
    return this.#microphone?.analyser ?? null;
  }

  get real() {
    return this.#microphone?.settings ?? null;
  }

  open() {
    this.#opening ??= this.#open().finally(() => (this.#opening = null));
    return this.#opening;
  }

  async #open() {
    this.#microphone ??= await Microphone.open({
      device: this.#settings.get("microphone"),
      headphones: this.#settings.get("headphones"),
      heard: (samples) => this.#heard(samples),
      lost: this.#told.lost,
    });
  }

  close() {
    this.#microphone?.close();
    this.#microphone = null;
  }

  /** Listen from now on, and keep what is heard until `send`. */
  hold() {
    this.#held = [];
    this.#deaf = false;
  }

  /** Take no more in; what is held is still to be sent. */
  stopHearing() {
    this.#deaf = true;
  }

  /** Send what was held, and all that comes, until `pause`. */
  send() {
    const held = this.#held ?? [];
    this.#held = null;
    this.#sending = true;
    held.forEach((samples) => this.take(samples));
  }

  /** Send nothing more. */
  pause() {
    this.#held = null;
    this.#sending = false;
  }

  /** A new connection: the server counts from 0 again. */
  restart() {
    this.#sent = new Sent();
    this.#turn = null;
  }

  /** Send sound: Int16Array of 24 kHz. */
  take(samples, live = false) {
    if (!this.#told.sound(samples, live)) return;
    this.#sent.add(samples);
    this.#sentAt = now();
  }

  /** A turn begins: at this many ms of all sound, or here. */
  turnBegan(ms) {
    this.#turn = ms === undefined ? this.#sent.length : Math.round((ms * RATE) / 1000);
  }

  /** Seconds of the turn so far. */
  get turnSeconds() {
    return (this.#sent.length - this.#turn) / RATE;
  }

  /** When the last word ended, if the server's silence of `silence` ms ended the turn now. */
  wordsEnded(ms, silence) {
    // Some servers count the silence into the turn, some do not.
    return Math.min(this.#timeOf(Math.round((ms * RATE) / 1000)), this.#sentAt - silence / 1000);
  }

  /** The turn as {begin, samples}; the next one begins behind it. */
  turnEnded() {
    const start = this.#turn ?? this.#sent.length;
    this.#turn = null;
    const samples = this.#sent.part(start, this.#sent.length);
    return { begin: this.#sentAt - samples.length / RATE, samples };
  }

  #heard(samples) {
    if (this.#deaf) return;
    if (this.#sending) this.take(samples, true);
    else if (this.#held && this.#held.length < MOST_HELD) this.#held.push(samples);
  }

  #timeOf(position) {
    return this.#sentAt - (this.#sent.length - position) / RATE;
  }
}

const now = () => performance.now() / 1000;
