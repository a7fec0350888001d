// Runs before the page is drawn, so that it never flashes in the wrong colours.
(() => {
  const chosen = localStorage.getItem("mimo-edge-theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
