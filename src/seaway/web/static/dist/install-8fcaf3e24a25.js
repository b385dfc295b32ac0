// Tabs of the install boxes. All boxes show the tool that was chosen last, on this page and on later ones.
const root = document.documentElement;
const boxes = [...document.querySelectorAll("[data-install]")];

// Return the tool that a box shows: the chosen one, or its first if it has no command for that (style: package.css).
function shownTool(box) {
  const tools = box.dataset.install.split(" ");
  return tools.includes(root.dataset.tool) ? root.dataset.tool : tools[0];
}

function showChoice() {
  for (const box of boxes) {
    const shown = shownTool(box);
    for (const tab of box.querySelectorAll("[role=tab]")) {
      const isShown = tab.dataset.tool === shown;
      tab.setAttribute("aria-selected", String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
    }
  }
}

function choose(tab) {
  root.dataset.tool = tab.dataset.tool;
  try { localStorage.setItem("seaway-tool", tab.dataset.tool); } catch { /* private windows do not store it */ }
  showChoice();
}

for (const box of boxes) {
  const tabs = [...box.querySelectorAll("[role=tab]")];
  for (const tab of tabs) {
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => choose(tab));
  }
  box.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
    const at = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    const tab = tabs[(next + tabs.length) % tabs.length];
    choose(tab);
    tab.focus();
  });
}
addEventListener("storage", (event) => {
  if (event.key !== "seaway-tool" || !event.newValue) return;
  root.dataset.tool = event.newValue;
  showChoice();
});
showChoice();

// A part of the page that takes longer is fetched from a page of its own; its link works without scripts.
for (const place of document.querySelectorAll("[data-part]")) {
  place.setAttribute("aria-busy", "true");
  fetch(place.dataset.part, { headers: { Accept: "text/html" } })
    .then((response) => (response.ok ? response.text() : Promise.reject(new Error(response.statusText))))
    .then((text) => new DOMParser().parseFromString(text, "text/html").getElementById(place.dataset.partId))
    .then((part) => (part ? place.replaceWith(part) : Promise.reject(new Error("the part is missing"))))
    .catch(() => place.removeAttribute("aria-busy"));
}
