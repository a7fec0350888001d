// The events that this page sends, in the shapes of OpenAI's Realtime API.

import { RATE } from "./pcm.mjs";

/** Silence that ends a turn, in ms. */
export const SILENCE_MS = 500;

const PCM = { type: "audio/pcm", rate: RATE };

/** The session as the person wants it. */
export function sessionUpdate({ handsFree, voice, instructions, spoken, model }) {
  const output = { format: PCM };
  if (voice) output.voice = voice;
  return {
    type: "session.update",
    session: {
      type: "realtime",
      output_modalities: [spoken ? "audio" : "text"],
      instructions,
      audio: {
        input: {
          format: PCM,
          transcription: { model },
          turn_detection: handsFree
            ? {
                type: "server_vad",
                silence_duration_ms: SILENCE_MS,
                create_response: true,
                interrupt_response: true,
              }
            : null,
        },
        output,
      },
    },
  };
}

export const append = (audio) => ({ type: "input_audio_buffer.append", audio });
export const commit = () => ({ type: "input_audio_buffer.commit" });
export const clearInput = () => ({ type: "input_audio_buffer.clear" });
export const createResponse = () => ({ type: "response.create" });
export const cancelResponse = () => ({ type: "response.cancel" });

/** Forget what was not heard of an answer. */
export const truncate = (item, seconds) => ({
  type: "conversation.item.truncate",
  item_id: item,
  content_index: 0,
  audio_end_ms: Math.max(0, Math.floor(seconds * 1000)),
});

/** Something typed. */
export const textItem = (text) => message(newId(), "user", { type: "input_text", text });

/** A turn of an earlier connection, by its words. */
export const pastItem = ({ id, role, text }) =>
  message(id, role, { type: role === "user" ? "input_text" : "output_text", text });

const message = (id, role, part) => ({
  type: "conversation.item.create",
  item: { id, type: "message", role, content: [part] },
});

function newId() {
  // Not `randomUUID`, which exists only where the microphone does.
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `item_${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
