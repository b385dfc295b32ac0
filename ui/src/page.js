// Scripts of every page: copy a line, close an open menu. Pages work without them.
document.addEventListener("click", async (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const copy = target?.closest("[data-copy]");
  if (copy) {
    const text = document.getElementById(copy.dataset.copy)?.textContent ?? "";
    const status = copy.querySelector("[data-copy-status]");
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
// `/` focuses the search field, or opens the search where there is no room for one; the arrow keys move between the field
// and the results.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = document.activeElement;
  const field = document.querySelector("[data-search]");
  if (event.key === "/" && field && !at?.matches("input:not([type=file], [type=checkbox], [type=radio]), textarea, select")) {
    event.preventDefault();
    if (!field.checkVisibility()) location.assign("/search");
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
// While offline, show a notice and block submits: submitting would replace the typed input with the browser's error page.
// `navigator.onLine` can be true without a working connection, but is never false with one. A failed htmx request
// covers the first case.
const away = document.querySelector("[data-away]");
function showAway(isAway) {
  if (isAway === !away.hidden) return;
  away.hidden = !isAway;
  away.firstElementChild.textContent = isAway ? away.dataset.away : "";
}
addEventListener("offline", () => showAway(true));
addEventListener("online", () => showAway(false));
document.addEventListener("htmx:error", (event) => { if (event.detail?.error instanceof TypeError) showAway(true); });
document.addEventListener("htmx:after:request", () => { if (navigator.onLine) showAway(false); });
document.addEventListener("submit", (event) => {
  if (navigator.onLine) return;
  event.preventDefault();
  showAway(true);
}, { capture: true });
if (!navigator.onLine) showAway(true);
// After a failed submit, focus the first field with an error.
document.querySelector("[data-focus]")?.focus();
// A form that was kept during a confirmation is sent by itself.
document.querySelector("form[data-send]")?.requestSubmit();
// Screen readers announce changes of a status, not what it holds when the page is loaded.
for (const message of document.querySelectorAll("[data-message] > p")) {
  const text = message.textContent;
  message.textContent = "";
  setTimeout(() => { message.textContent = text; }, 100);
}
