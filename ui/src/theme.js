// Applies the chosen theme (day or night) before the first paint. Loaded without `defer`, so that the page does not flash.
(() => {
  const root = document.documentElement;
  const read = () => {
    try { return localStorage.getItem("seaway-theme"); } catch { return null; }
  };
  const apply = (theme) => {
    if (theme === "day" || theme === "night") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(read());
  root.classList.add("js");
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-theme-switch]");
    if (!button) return;
    const isNight = root.dataset.theme ? root.dataset.theme === "night" : matchMedia("(prefers-color-scheme: dark)").matches;
    const next = isNight ? "day" : "night";
    try { localStorage.setItem("seaway-theme", next); } catch { /* private windows do not store it */ }
    apply(next);
  });
})();
