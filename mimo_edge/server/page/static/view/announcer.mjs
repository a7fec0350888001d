// Tells screen readers what was said: finished sentences only, without interrupting.

import { Sentences } from "../logic/sentences.mjs";
import { make, the } from "./elements.mjs";

/** So many sentences stay for who wants to read them again. */
const KEPT = 20;

export class Announcer {
  #open = new Map();
  #region = the("spoken-words");

  /** Takes the server's events. */
  take(event) {
    switch (event.type) {
      case "response.output_audio_transcript.delta":
      case "response.output_text.delta": {
        const sentences = this.#open.get(event.item_id) ?? new Sentences();
        this.#open.set(event.item_id, sentences);
        sentences.add(event.delta).forEach((sentence) => this.#say(sentence));
        break;
      }
      case "response.output_item.done": {
        const rest = this.#open.get(event.item?.id)?.end() ?? [];
        this.#open.delete(event.item?.id);
        rest.forEach((sentence) => this.#say(sentence));
        break;
      }
      case "conversation.item.input_audio_transcription.completed":
        if (event.transcript.trim()) this.#say(`You: ${event.transcript.trim()}`);
        break;
    }
  }

  #say(sentence) {
    this.#region.append(make("p", {}, sentence));
    while (this.#region.children.length > KEPT) this.#region.firstElementChild.remove();
  }
}
