// Sentences that a person should see, above the conversation. Each has a name and stands once.

import { make, the } from "./elements.mjs";

const shown = new Map();

/** `kind`: `wrong` or `hint`; `link` is {text, href}, `action` is {text, run}. */
export function notice(name, { title, text, kind = "hint", link, action }) {
  const words = make("p", {}, ...(title ? [make("strong", {}, title)] : []), text);
  const box = make("div", { className: "notice" }, words);
  box.dataset.kind = kind;
  if (link) words.append(" ", make("a", { href: link.href }, link.text));
  if (action) box.append(button(action.text, action.run));
  box.append(button("Close", () => withdraw(name), "Close this message"));
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

function button(text, run, label) {
  const element = make("button", { className: "plain", type: "button", onclick: run }, text);
  if (label) element.ariaLabel = label;
  return element;
}
