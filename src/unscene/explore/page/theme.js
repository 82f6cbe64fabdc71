// Runs before the page is drawn, so that a chosen theme does not flash.
const chosen = (() => {
  try {
    return localStorage.getItem("unscene-theme");
  } catch {
    return null; // storage may be switched off
  }
})();
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
