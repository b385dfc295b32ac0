// What every page may use: copying a line, closing an open menu. Pages work without it.
document.addEventListener("click", async (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const copy = target?.closest("[data-copy]");
  if (copy) {
    const text = document.getElementById(copy.dataset.copy)?.textContent ?? "";
    const status = copy.querySelector("[data-copy-said]");
    try {
      await navigator.clipboard.writeText(text);
      status.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(document.getElementById(copy.dataset.copy));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      status.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { status.textContent = "Copy"; }, 2500);
  }
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!target || !menu.contains(target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
// `/` leads to the search of the page, or of everything; arrows walk the results, from the field and back.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = document.activeElement;
  const field = document.querySelector("[data-search]") ?? document.querySelector("[data-search-all]");
  if (event.key === "/" && field && !at?.matches("input:not([type=file], [type=checkbox], [type=radio]), textarea, select")) {
    event.preventDefault();
    field.focus();
    field.select();
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const hits = [...document.querySelectorAll("[data-hit]")];
  if (!hits.length || (at !== field && !hits.includes(at))) return;
  const next = hits.indexOf(at) + (event.key === "ArrowDown" ? 1 : -1);
  if (next >= hits.length || next < -1) return;
  event.preventDefault();
  (hits[next] ?? field).focus();
});
// Without a network a page says so, and keeps what was typed: a form that is sent then would end on the browser's own page.
// `onLine` may be true where nothing gets through, never false where something does; a part of a page that is not
// answered tells the rest.
const away = document.querySelector("[data-away]");
function tell(isAway) {
  if (isAway === !away.hidden) return;
  away.hidden = !isAway;
  away.firstElementChild.textContent = isAway ? away.dataset.away : "";
}
addEventListener("offline", () => tell(true));
addEventListener("online", () => tell(false));
document.addEventListener("htmx:error", (event) => { if (event.detail?.error instanceof TypeError) tell(true); });
document.addEventListener("htmx:after:request", () => { if (navigator.onLine) tell(false); });
document.addEventListener("submit", (event) => {
  if (navigator.onLine) return;
  event.preventDefault();
  tell(true);
}, { capture: true });
if (!navigator.onLine) tell(true);
// An answer with errors begins where they are.
document.querySelector("[data-focus]")?.focus();
