// When to try a lost connection again.

const FIRST_MS = 500;
const MOST_MS = 15000;

/** Milliseconds before the try of this number (from 0): longer each time, never quite the same. */
export function delay(tries, random = Math.random) {
  const base = Math.min(MOST_MS, FIRST_MS * 2 ** tries);
  return Math.round(base * (0.75 + 0.5 * random()));
}
