// Forms that apply at once, lists that are filtered while typing, and fields that suggest people. They work without
// scripts, too.

// A changed choice is sent at once.
document.addEventListener("change", (event) => {
  if (event.target instanceof HTMLSelectElement && event.target.matches("[data-send-on-change]")) event.target.form.requestSubmit();
});
// After a reload, and after going back, browsers show the last choice instead of the saved one.
for (const select of document.querySelectorAll("select[data-send-on-change]")) {
  select.value = [...select.options].find((option) => option.defaultSelected)?.value ?? select.value;
}

for (const field of document.querySelectorAll("[data-filter]")) {
  if (field.defaultValue) continue; // the server has filtered the list, so the other rows are not on the page
  const rows = [...document.querySelectorAll(`#${field.dataset.filter} > [data-text]`)];
  const status = field.closest("section").querySelector("[data-filter-status]");
  field.form.addEventListener("submit", (event) => event.preventDefault());
  field.addEventListener("input", () => {
    const words = field.value.trim().toLowerCase();
    for (const row of rows) row.hidden = !row.dataset.text.includes(words);
    const shown = rows.filter((row) => !row.hidden).length;
    if (!words) status.textContent = "";
    else status.textContent = shown ? `${shown} of ${rows.length} members.` : `No member has "${words}" in the name.`;
  });
}

// Combobox with a list of suggestions (https://www.w3.org/WAI/ARIA/apg/patterns/combobox/): the field keeps the focus.
function suggestPeople(box) {
  const field = box.querySelector("input");
  const kind = box.querySelector("[data-people-kind]");
  const list = box.querySelector("[role=listbox]");
  const status = box.querySelector("[data-people-status]");
  let timer = 0;
  let asked = 0;
  field.setAttribute("role", "combobox");
  field.setAttribute("aria-autocomplete", "list");
  field.setAttribute("aria-expanded", "false");
  field.setAttribute("aria-controls", list.id);

  const options = () => [...list.children];
  const active = () => options().find((option) => option.getAttribute("aria-selected") === "true");

  function mark(option) {
    for (const other of options()) other.setAttribute("aria-selected", String(other === option));
    if (option) {
      field.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    } else field.removeAttribute("aria-activedescendant");
  }
  function close() {
    clearTimeout(timer);
    asked += 1;
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    mark(null);
  }
  function choose(option) {
    field.value = option.dataset.value;
    if (kind) kind.value = option.dataset.kind;
    status.textContent = `${option.dataset.value} chosen.`;
    close();
  }
  async function ask() {
    const number = ++asked;
    const address = new URL(box.dataset.people, location.href);
    address.searchParams.set("q", field.value.trim());
    let text = "";
    try {
      const response = await fetch(address, { headers: { Accept: "text/html" } });
      if (response.ok && !response.redirected) text = await response.text();
    } catch { /* without a connection there are no suggestions */ }
    if (number !== asked || document.activeElement !== field) return;
    list.replaceChildren(...new DOMParser().parseFromString(text, "text/html").querySelectorAll("li"));
    for (const option of options()) option.id = `${list.id}-${option.id}`;
    list.hidden = !list.children.length;
    field.setAttribute("aria-expanded", String(!list.hidden));
    mark(null);
    const count = list.children.length;
    status.textContent = count ? `${count} ${count === 1 ? "suggestion" : "suggestions"}. Use the arrow keys.` : "";
  }

  field.addEventListener("input", () => {
    if (kind) kind.value = "";
    close();
    status.textContent = "";
    if (field.value.trim().length > 1 && !field.value.includes("@")) timer = setTimeout(ask, 200);
  });
  field.addEventListener("keydown", (event) => {
    if (list.hidden || event.isComposing) return;
    const all = options();
    const at = all.indexOf(active());
    const move = { ArrowDown: at + 1, ArrowUp: at < 0 ? all.length - 1 : at - 1 }[event.key];
    if (move !== undefined) mark(all[(move + all.length) % all.length]);
    else if (event.key === "Enter" && at >= 0) choose(all[at]);
    else if (event.key === "Tab" && at >= 0) return choose(all[at]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the field keeps the focus
  list.addEventListener("click", (event) => {
    const option = event.target instanceof Element ? event.target.closest("[role=option]") : null;
    if (option) choose(option);
  });
  field.addEventListener("blur", close);
}
for (const box of document.querySelectorAll("[data-people]")) suggestPeople(box);
