// Sentences that a person should see, above the conversation. Each has a name and stands once.

import { make, the } from "./elements.mjs";

const shown = new Map();

/** `kind`: `wrong` or `hint`; `action` is {text, run}. */
export function notice(name, { title, text, kind = "hint", action }) {
  const words = make("p", {}, ...(title ? [make("strong", {}, title)] : []), sentence(text));
  const box = make("div", { className: "notice" }, words);
  box.dataset.kind = kind;
  if (action) box.append(button("plain", action.text, action.run));
  const close = button("tool icon", "×", () => withdraw(name));
  close.ariaLabel = "Close this message";
  box.append(close);
  const before = shown.get(name);
  // A message that stands already is not read aloud again.
  if (before?.textContent === box.textContent) return;
  if (before) before.replaceWith(box);
  else the("notices").append(box);
  shown.set(name, box);
}

/** Take a message away. */
export function withdraw(name) {
  shown.get(name)?.remove();
  shown.delete(name);
}

/** The server's sentences begin small, since other programs put words before them. */
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function button(className, text, run) {
  return make("button", { className, type: "button", onclick: run }, text);
}
