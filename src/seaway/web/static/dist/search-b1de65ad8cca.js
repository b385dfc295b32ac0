// Lists that are fetched again while the user types or chooses a filter. Loading and failures are shown next to the number
// of results; page.js marks the list as busy.
const form = document.querySelector("[data-live]").form;
const isOurs = (ctx) => ctx.sourceElement.form === form; // the filters may be outside of the form

// Parameters without a value are the default; they would only make URLs longer.
form.addEventListener("formdata", ({ formData }) => {
  for (const [name, value] of [...formData]) if (value === "") formData.delete(name);
});
document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
  if (isOurs(ctx)) ctx.request.body = new FormData(form);
});

function say(text) {
  const line = document.querySelector("[data-loading]");
  if (line) line.textContent = text;
}

// The old rows stay dimmed, to show that they are not the new ones.
function fail(text) {
  document.getElementById("found").setAttribute("data-failed", "");
  say(text);
}

let newest = null; // the request whose response is awaited; the end of one that it replaced does not matter
document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
  if (!isOurs(ctx)) return;
  newest = ctx;
  document.getElementById("found").removeAttribute("data-failed");
  say("Searching…");
});
document.addEventListener("htmx:before:response", (event) => {
  const { ctx } = event.detail;
  if (ctx !== newest || ctx.response.status < 400) return;
  event.preventDefault(); // an error page has no list
  fail(ctx.response.status === 429 ? "Too many searches. Wait a minute, then try again." : "The search failed. Try again.");
});
// The filters are part of what is replaced; the one that was just chosen keeps the focus.
let focused = "";
document.addEventListener("htmx:before:swap", () => { focused = document.activeElement?.id ?? ""; });
document.addEventListener("htmx:after:swap", () => {
  if (document.activeElement === document.body) document.getElementById(focused)?.focus();
});
document.addEventListener("htmx:error", ({ detail: { ctx } }) => { if (ctx === newest) fail("The search failed. Try again."); });
