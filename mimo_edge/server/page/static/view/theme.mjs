// Dark and light: as the system has it until the person chooses.

import { the } from "./elements.mjs";

const KEY = "mimo-edge-theme";

/** Make the button work; `changed` is called when the colours did. */
export function setUpTheme(changed) {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    the("theme").ariaPressed = String(dark());
    changed();
  };
  the("theme").onclick = () => {
    root.dataset.theme = dark() ? "light" : "dark";
    localStorage.setItem(KEY, root.dataset.theme);
    show();
  };
  system.addEventListener("change", show);
  show();
}
