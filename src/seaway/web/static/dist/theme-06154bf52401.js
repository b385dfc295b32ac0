// Applies the chosen theme (day or night) and install tool before the first paint. Loaded without `defer`, so that the
// page does not flash.
(() => {
  const root = document.documentElement;
  const read = (name) => {
    try { return localStorage.getItem(name); } catch { return null; }
  };
  const apply = (theme) => {
    if (theme === "day" || theme === "night") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(read("seaway-theme"));
  const tool = read("seaway-tool");
  root.dataset.tool = ["pixi", "conda", "mamba", "rattler-build"].includes(tool) ? tool : "pixi";
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
