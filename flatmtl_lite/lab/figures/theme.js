// Light or dark, as the page has it. DARK (style.py) gives the dark counterpart of each colour.

function isDark() {
  const { jpThemeLight, theme } = document.body.dataset; // JupyterLab's own, and Furo's
  if (jpThemeLight) return jpThemeLight === "false";
  if (theme === "light" || theme === "dark") return theme === "dark";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function onTheme(react, signal) {
  const observer = new MutationObserver(react);
  observer.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", react, { signal });
  signal.addEventListener("abort", () => observer.disconnect());
}

// A JSON text with colours in it, in the colours of the page.
function inTheme(text) {
  if (!isDark()) return text;
  const colors = new RegExp(`(?<=["\\s:])(?:${Object.keys(DARK).join("|")})(?=["\\s,\\\\])`, "g");
  return text.replace(colors, (color) => DARK[color]);
}
