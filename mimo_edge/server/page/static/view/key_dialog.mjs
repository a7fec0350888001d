// Asks for the server's key.

import { apiKey, keepKey, modelName, ServerError } from "../net/server.mjs";
import { the } from "./elements.mjs";

/** The model's name, after the person gave the right key if the server wants one. */
export async function modelNameWithKey() {
  for (;;) {
    try {
      return await modelName();
    } catch (error) {
      if (!(error instanceof ServerError) || error.status !== 401) throw error;
      the("key-wrong").hidden = apiKey() === null;
      keepKey(await askForKey());
    }
  }
}

function askForKey() {
  const dialog = the("key-dialog");
  if (!dialog.open) dialog.showModal();
  the("key").value = "";
  the("key").focus();
  return new Promise((resolve) => {
    dialog.oncancel = (event) => event.preventDefault(); // nothing works without it
    the("key-form").onsubmit = () => resolve(the("key").value.trim());
  });
}
