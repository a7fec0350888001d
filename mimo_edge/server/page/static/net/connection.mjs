// One live conversation with the server, over a websocket that comes back when it is lost.

import { delay } from "../logic/retry.mjs";
import { apiKey } from "./server.mjs";

/** More than this waiting to be sent means that the network does not follow. */
const MOST_BUFFERED = 2 ** 20;

/** Codes with which a server ends a conversation on purpose: trying again at once is no use. */
const MEANT = new Set([1000, 1008, 4000]);

/** The person gave it up; nothing is wrong. */
export class Ended extends Error {}

/**
 * `told.event(event)` gets every event of the server, `told.state(state, details)` each change:
 * `connecting`, `open`, `waiting` ({seconds, message, lost}: `lost` if there was a conversation),
 * `closed` ({message, meant} if the server did it).
 */
export class Connection {
  #socket = null;
  #timer = null;
  #tries = 0;
  #told;
  #opened = null; // {promise, resolve, reject} of who waits for it
  #lastError = null;
  state = "closed";

  constructor(told) {
    this.#told = told;
  }

  /** Resolves when the session exists, however long it takes; rejects if it is given up. */
  open() {
    if (this.state === "open") return Promise.resolve();
    if (!this.#opened) {
      this.#opened = {};
      this.#opened.promise = new Promise((resolve, reject) =>
        Object.assign(this.#opened, { resolve, reject }),
      );
    }
    const { promise } = this.#opened;
    if (this.state !== "connecting") this.#connect();
    return promise;
  }

  /** Send an event; false if there is no connection. */
  send(event) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(event));
    return true;
  }

  /** Whether the network follows, so that live sound does not pile up here. */
  get follows() {
    return (this.#socket?.bufferedAmount ?? 0) <= MOST_BUFFERED;
  }

  /** End it. */
  close() {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
    this.#refuse(new Ended("The conversation was ended."));
    this.#set("closed");
  }

  #connect() {
    clearTimeout(this.#timer);
    const key = apiKey();
    // Never in the address, which ends up in logs.
    const protocols = ["realtime", ...(key ? [`openai-insecure-api-key.${key}`] : [])];
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/v1/realtime`, protocols);
    this.#socket = socket;
    this.#lastError = null;
    this.#set("connecting");
    socket.onmessage = ({ data }) => this.#take(socket, JSON.parse(data));
    socket.onclose = (closing) => this.#closed(socket, closing);
  }

  #take(socket, event) {
    if (socket !== this.#socket) return;
    if (event.type === "error") {
      this.#lastError = event.error.message;
      if (this.state === "connecting") return; // it says why the server closes now
    }
    if (event.type === "session.created") {
      this.#tries = 0;
      this.#set("open");
    }
    this.#told.event(event);
    if (event.type === "session.created") {
      this.#opened?.resolve();
      this.#opened = null;
    }
  }

  #closed(socket, { code, reason }) {
    if (socket !== this.#socket) return;
    this.#socket = null;
    const message = this.#lastError ?? (reason || null);
    if (MEANT.has(code)) {
      this.#refuse(new Error(message ?? "The server ended the conversation."));
      this.#set("closed", { message, meant: true });
      return;
    }
    const lost = this.state === "open";
    const wait = delay(this.#tries++);
    this.#set("waiting", { seconds: wait / 1000, message, lost });
    if (this.state !== "waiting") return; // nobody needs it now; the next word connects again
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #refuse(error) {
    this.#opened?.reject(error);
    this.#opened = null;
  }

  #set(state, details = {}) {
    this.state = state;
    this.#told.state(state, details);
  }
}
