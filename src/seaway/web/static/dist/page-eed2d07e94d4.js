// Scripts of every page: copy a line, dismiss a message, close an open menu. Pages work without them.
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
  const message = target?.closest("[data-dismiss]")?.closest("[data-message]");
  if (message) {
    message.remove();
    document.getElementById("main").focus({ preventScroll: true });
  }
  for (const menu of document.querySelectorAll("details[data-menu][open]")) {
    if (!target || !menu.contains(target)) menu.open = false;
  }
});
// A menu: Escape closes it, the arrow keys, Home and End move in it, and it closes when the focus leaves it.
for (const menu of document.querySelectorAll("details[data-menu]")) {
  const button = menu.querySelector("summary");
  menu.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      button.focus();
    }
    if (!["ArrowDown", "ArrowUp", "Home", "End"].includes(event.key)) return;
    event.preventDefault();
    menu.open = true;
    const items = [...menu.querySelectorAll(".menu-sheet :is(a, button)")];
    const at = items.indexOf(document.activeElement);
    const next = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[event.key];
    items.at(next === items.length ? 0 : next).focus();
  });
  menu.addEventListener("focusout", (event) => {
    if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
  });
}
// `/` focuses the search field; the arrow keys move between the field that fetches a list and the results.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const at = document.activeElement;
  const field = document.querySelector("[data-search]");
  if (event.key === "/" && field && !at?.matches("input:not([type=file], [type=checkbox], [type=radio]), textarea, select")) {
    event.preventDefault();
    field.focus();
    field.select();
    return;
  }
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const words = document.querySelector("[data-live]");
  const hits = [...document.querySelectorAll("[data-hit]")];
  if (!hits.length || (at !== words && !hits.includes(at))) return;
  const next = hits.indexOf(at) + (event.key === "ArrowDown" ? 1 : -1);
  if (next >= hits.length || next < -1) return;
  event.preventDefault();
  (hits[next] ?? words).focus();
});
// Content that htmx is about to replace is busy: the style dims it, and screen readers wait for the new content.
const requests = new WeakMap(); // target -> newest request; an older one that is aborted must not end it
document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
  if (!(ctx.target instanceof Element)) return;
  requests.set(ctx.target, ctx);
  ctx.target.setAttribute("aria-busy", "true");
});
document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.target instanceof Element && requests.get(ctx.target) === ctx) ctx.target.removeAttribute("aria-busy");
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
// On a phone, the side navigation is one line that scrolls.
const current = document.querySelector(".side [aria-current]");
const line = current?.closest("ul");
if (line) line.scrollLeft = current.offsetLeft - (line.clientWidth - current.offsetWidth) / 2;
// After a failed submit, focus the first field with an error.
document.querySelector("[data-focus]")?.focus();
// A form that was kept during a confirmation is sent by itself.
document.querySelector("form[data-send]")?.requestSubmit();
// Screen readers announce changes of a live region, not what it holds when the page is loaded: insert the text again.
addEventListener("load", () => setTimeout(() => {
  for (const region of document.querySelectorAll("[data-message] > p, [data-announce]")) {
    const texts = document.createTreeWalker(region, NodeFilter.SHOW_TEXT);
    const found = [];
    while (texts.nextNode()) found.push(texts.currentNode);
    for (const text of found) text.replaceWith(text.data);
  }
}, 200));
