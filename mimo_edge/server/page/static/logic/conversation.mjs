// What was said so far and what goes on now, out of the server's events.
//
// `reduce` is pure: it returns a new state and never changes the old one. Events that it does not
// know leave the state as it is, so a server that says more does no harm. Events whose type begins
// with `local.` are this page's own.

/** Before anything was said. */
export const EMPTY = Object.freeze({ items: [], hearing: false, response: null, playing: false });

/**
 * The state after an event.
 *
 * An item is {id, role, text, state, note}. `state` is `hearing` (being spoken), `writing` (its
 * words are coming), `done`, `cut` (interrupted) or `failed`; `note` is a sentence or null.
 */
export function reduce(state, event) {
  const change = CHANGES[event.type];
  return change ? change(state, event) : state;
}

/** What goes on: `hearing`, `speaking`, `thinking` or `idle`. */
export function phase(state) {
  if (state.hearing) return "hearing";
  if (state.playing) return "speaking";
  return state.response === null ? "idle" : "thinking";
}

/** The turns that a new connection has to be told. */
export function history(state, most = 20) {
  const told = state.items.filter((item) => item.text && item.state !== "failed");
  return told.slice(-most).map(({ id, role, text }) => ({ id, role, text }));
}

const CHANGES = {
  "input_audio_buffer.speech_started": (state, { item_id: id }) =>
    put({ ...state, hearing: true }, id, { role: "user", state: "hearing" }),
  "input_audio_buffer.speech_stopped": (state, { item_id: id }) =>
    put({ ...state, hearing: false }, id, { role: "user", state: "writing" }),
  "input_audio_buffer.committed": (state, event) =>
    put({ ...state, hearing: false }, event.item_id, { role: "user", state: "writing" }),
  "input_audio_buffer.cleared": cleared,
  "conversation.item.added": added,
  "conversation.item.done": added,
  "conversation.item.deleted": (state, { item_id: id }) => ({
    ...state,
    items: state.items.filter((item) => item.id !== id),
  }),
  "conversation.item.input_audio_transcription.delta": (state, { item_id: id, delta }) =>
    grow(state, id, "user", delta),
  "conversation.item.input_audio_transcription.completed": (state, event) =>
    put(state, event.item_id, {
      role: "user",
      state: "done",
      text: event.transcript.trim(),
      note: event.transcript.trim() ? null : "No words were understood.",
    }),
  "conversation.item.input_audio_transcription.failed": (state, event) =>
    put(state, event.item_id, { role: "user", state: "failed", note: event.error.message }),
  "conversation.item.truncated": (state, { item_id: id, audio_end_ms: heard }) =>
    put(state, id, {
      state: "cut",
      note: heard
        ? `Interrupted after ${(heard / 1000).toFixed(1)} s.`
        : "Interrupted before it was heard.",
    }),
  "response.created": (state, { response }) => ({ ...state, response: response.id }),
  "response.output_item.added": (state, { item }) =>
    item.type === "message" ? put(state, item.id, { role: "assistant", state: "writing" }) : state,
  "response.output_audio_transcript.delta": (state, { item_id: id, delta }) =>
    grow(state, id, "assistant", delta),
  "response.output_text.delta": (state, { item_id: id, delta }) =>
    grow(state, id, "assistant", delta),
  "response.output_audio_transcript.done": (state, { item_id: id, transcript }) =>
    put(state, id, { text: transcript }),
  "response.output_text.done": (state, { item_id: id, text }) => put(state, id, { text }),
  "response.done": responseDone,
  "local.hearing": (state, { hearing }) => ({ ...state, hearing }),
  "local.playing": (state, { playing }) =>
    state.playing === playing ? state : { ...state, playing },
  "local.closed": closed,
};

/** Noise was taken for a turn. A push, which clears what was before it, is no such turn. */
function cleared(state) {
  const items = state.items.filter((item) => item.state !== "hearing");
  return items.length === state.items.length ? state : { ...state, items, hearing: false };
}

function added(state, { item, previous_item_id: previous }) {
  if (item.type !== "message" || item.role === "system") return state;
  const said = item.content
    .map((part) => part.text ?? part.transcript ?? "")
    .join("")
    .trim();
  const audio = item.content.some((part) => part.type === "input_audio");
  const change = { role: item.role };
  if (said) change.text = said;
  if (item.role === "user") change.state = audio && !said ? "writing" : "done";
  const known = state.items.find(({ id }) => id === item.id);
  // A transcript can be complete before the item is told again.
  if (known && (known.state === "done" || known.state === "failed")) delete change.state;
  return put(state, item.id, change, previous);
}

function responseDone(state, { response }) {
  let next = { ...state, response: state.response === response.id ? null : state.response };
  const failure = response.status_details?.error?.message;
  const ends = { completed: "done", cancelled: "cut", incomplete: "cut", failed: "failed" };
  const notes = {
    cancelled: "Interrupted.",
    incomplete: "The answer reached its limit.",
    failed: failure ?? "The answer failed.",
  };
  const items = response.output.filter((item) => item.type === "message");
  for (const item of items) {
    const known = next.items.find(({ id }) => id === item.id);
    if (known?.state === "cut") continue;
    const end = { state: ends[response.status] ?? "done", note: notes[response.status] ?? null };
    next = put(next, item.id, { role: "assistant", ...end });
  }
  if (response.status === "failed" && items.length === 0) {
    next = put(next, response.id, { role: "assistant", state: "failed", note: notes.failed });
  }
  return next;
}

function closed(state) {
  const items = state.items
    .filter((item) => item.text || item.note)
    .map((item) =>
      item.state === "writing" || item.state === "hearing"
        ? { ...item, state: "cut", note: "The connection was lost." }
        : item,
    );
  return { ...state, items, hearing: false, response: null };
}

function grow(state, id, role, delta) {
  const before = state.items.find((item) => item.id === id)?.text ?? "";
  return put(state, id, { role, text: before + delta });
}

/** Change an item; one that is not known comes behind `previous`, or last. */
function put(state, id, change, previous) {
  const index = state.items.findIndex((item) => item.id === id);
  const items = [...state.items];
  if (index >= 0) {
    items[index] = { ...items[index], ...change };
  } else if (change.role) {
    const item = { id, role: change.role, text: "", state: "writing", note: null, ...change };
    const after = previous ? items.findIndex((other) => other.id === previous) : -1;
    items.splice(after >= 0 ? after + 1 : items.length, 0, item);
  }
  return { ...state, items };
}
