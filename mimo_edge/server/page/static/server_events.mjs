// What is done when the server says something, besides showing it.

import * as events from "./logic/client_events.mjs";
import { history } from "./logic/conversation.mjs";

/** Errors that tell nothing to a person: two messages that crossed each other. */
const CROSSED = new Set(["response_cancel_not_active"]);

/**
 * Event type → function of the event. `talk` has `conversation()`, `session()` (the event that
 * tells the settings), `interrupted()`, `spoken(turn)` and `wrong(sentence)`.
 */
export function handlers({ connection, ears, answers }, talk) {
  return {
    "session.created": () => {
      ears.restart();
      connection.send(talk.session());
      for (const item of history(talk.conversation())) connection.send(events.pastItem(item));
    },
    "input_audio_buffer.speech_started": ({ audio_start_ms: start }) => {
      ears.turnBegan(start);
      talk.interrupted();
    },
    "input_audio_buffer.speech_stopped": ({ audio_end_ms: end }) =>
      answers.measures.asked(ears.wordsEnded(end, events.SILENCE_MS)),
    "input_audio_buffer.committed": () => talk.spoken(ears.turnEnded()),
    "response.created": ({ response }) => answers.measures.created(response.id),
    "response.output_audio.delta": (event) => answers.take(event),
    "response.output_audio.done": ({ item_id: item }) => answers.end(item),
    error: ({ error }) => {
      if (!CROSSED.has(error.code)) talk.wrong(error.message);
    },
  };
}
