// Finding and making elements.

/** The element with this id. */
export const the = (id) => document.getElementById(id);

/** A new element with a class and text or children. */
export function make(tag, { className, ...properties } = {}, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  Object.assign(element, properties);
  element.append(...children);
  return element;
}
