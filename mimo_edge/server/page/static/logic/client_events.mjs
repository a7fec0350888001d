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
export const textItem = (id, text) =>
  userItem(id, { type: "input_text", text });

/** Something recorded: base64 of 24 kHz PCM. */
export const audioItem = (id, audio) => userItem(id, { type: "input_audio", audio });

/** A turn of an earlier connection, by its words. */
export function pastItem({ id, role, text }) {
  const content = [{ type: role === "user" ? "input_text" : "output_text", text }];
  return { type: "conversation.item.create", item: { id, type: "message", role, content } };
}

const userItem = (id, part) => ({
  type: "conversation.item.create",
  item: { id, type: "message", role: "user", content: [part] },
});
