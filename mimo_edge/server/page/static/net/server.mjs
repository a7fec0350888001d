// The server over HTTP.

const KEY = "mimo-edge-key";

/** The key that the person gave, for as long as the tab is open; null: none. */
export const apiKey = () => sessionStorage.getItem(KEY);
export const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** What went wrong, as a sentence; `status` is that of HTTP, 0 if there was no answer. */
export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** `loading`, `ready`, `busy` or `failed`. */
export const health = async () => (await json("/health", {}, [503])).status;

/** The name of the model. */
export const modelName = async () => (await json("/v1/models")).data[0].id;

/** A list of {id, name}; those that can be deleted have `type`. */
export const voices = async () => (await json("/v1/audio/voices")).voices;

/** Add a voice; `sample` is a Blob. Returns it. */
export async function addVoice(name, sample, fileName) {
  const body = new FormData();
  body.set("name", name);
  body.set("consent", "The person who added this voice said that its speaker agrees.");
  body.set("audio_sample", sample, fileName);
  return json("/v1/audio/voices", { method: "POST", body });
}

export const deleteVoice = (id) =>
  json(`/v1/audio/voices/${encodeURIComponent(id)}`, { method: "DELETE" });

async function json(path, options = {}, fine = []) {
  const key = apiKey();
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new ServerError("The server does not answer. Is it still running?", 0);
  }
  const body = await answer.json().catch(() => null);
  if (answer.ok || fine.includes(answer.status)) return body;
  const sentence = body?.error?.message ?? `The server answered ${answer.status}.`;
  throw new ServerError(sentence, answer.status);
}
