// Uploads package files in chunks (tus 1.0.0) and resumes after a lost connection or a reload.
// Each file has a row with its state; one live region summarizes the files of a batch. The form works without this file.
const CHUNK = 8 * 1024 * 1024;
const PARALLEL_UPLOADS = 3;
const MAX_FAILURES = 6;
const MAX_WAIT_SECONDS = 120;
const MAX_NAMES = 5;
const SPEED_WINDOW_MS = 5000;
const TUS = { "Tus-Resumable": "1.0.0" };

const root = document.querySelector("[data-uploader]");
const list = document.querySelector("[data-list]");
const status = document.querySelector("[data-status]");
const channel = root.dataset.uploader;
const queue = [];
let running = 0;
let batch = [];
let skipped = [];
let announced = "";

/** The server or the browser refuses the file: trying again gives the same answer. */
class Refusal extends Error {}
class Interrupted extends Error {}

// URLs of unfinished uploads by file, so that choosing the same file again after a reload resumes its upload.
const memory = {
  key: (file) => `seaway-upload:${channel}:${file.name}:${file.size}:${file.lastModified}`,
  get(file) { try { return localStorage.getItem(this.key(file)); } catch { return null; } },
  set(file, location) { try { localStorage.setItem(this.key(file), location); } catch { /* without storage, a reload starts over */ } },
  drop(file) { try { localStorage.removeItem(this.key(file)); } catch { /* nothing was stored */ } },
};

function sendRequest(method, url, headers, body, { progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries({ ...TUS, "X-CSRF-Token": root.elements.csrf_token.value, ...headers })) request.setRequestHeader(name, value);
    if (progress) request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => reject(new Error("The connection was lost.")));
    request.addEventListener("abort", () => reject(new Interrupted()));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

/** Return the response, or throw: a `Refusal`, or an `Error` where the same request may succeed later. */
function checked(response) {
  if (response.status < 300) return response;
  const sentence = response.responseText.trim() || `The server returned status ${response.status}.`;
  const isTemporary = response.status === 408 || response.status === 429 || response.status >= 500;
  const wait = Number(response.getResponseHeader("Retry-After")) || 0;
  throw Object.assign(isTemporary ? new Error(sentence) : new Refusal(sentence), { response, status: response.status, wait });
}

const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const units = ["", "kB", "MB", "GB"];
function size(bytes) {
  if (bytes < 1000) return counted(Math.round(bytes), "byte");
  let power = 0;
  while (bytes >= 1000 && power < 3) { bytes /= 1000; power += 1; }
  return `${bytes.toFixed(bytes < 100 ? 1 : 0)} ${units[power]}`;
}
function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
const packageOf = (name) => name.replace(/\.(conda|tar\.bz2)$/, "").split("-").slice(0, -2).join("-");
function link(text, href) {
  const element = document.createElement("a");
  element.href = href;
  element.textContent = text;
  return element;
}

// What can be done with a file in each state: the label of a button, and the method that it calls.
const ACTIONS = {
  waiting: [["Cancel", "cancel"]],
  hashing: [["Cancel", "cancel"]],
  sending: [["Pause", "pause"], ["Cancel", "cancel"]],
  paused: [["Resume", "start"], ["Cancel", "cancel"]],
  retrying: [["Try now", "wake"], ["Cancel", "cancel"]],
  failed: [["Try again", "start"], ["Cancel", "cancel"]],
  replaceable: [["Replace", "askToReplace"], ["Remove from list", "remove"]],
  asking: [["Keep the old file", "keep"], ["Replace file", "replace", "btn-danger"]],
  refused: [["Remove from list", "remove"]],
};

class Upload {
  constructor(file) {
    this.file = file;
    this.row = document.querySelector("[data-row]").content.cloneNode(true).firstElementChild;
    [this.name, this.total, this.bar, this.text, this.warning, this.buttons] =
      ["name", "size", "bar", "text", "warning", "buttons"].map((part) => this.row.querySelector(`[data-${part}]`));
    this.name.textContent = file.name;
    this.total.textContent = size(file.size);
    this.bar.setAttribute("aria-label", `Progress of ${file.name}`);
    this.show(0);
    list.append(this.row);
    this.enter("waiting", "Waiting");
  }

  get isBusy() { return ["waiting", "hashing", "sending", "checking", "retrying"].includes(this.state); }

  enter(state, text) {
    if (text !== undefined) this.text.textContent = text;
    if (state === this.state) return;
    this.state = state;
    this.row.dataset.state = state;
    const hadFocus = this.buttons.contains(document.activeElement);
    this.buttons.replaceChildren(...(ACTIONS[state] ?? []).map(([label, method, look = "btn-plain"]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = `btn btn-small ${look}`;
      button.textContent = label;
      button.setAttribute("aria-label", `${label}: ${this.file.name}`);
      button.addEventListener("click", () => this[method]());
      return button;
    }));
    if (hadFocus) (this.buttons.firstElementChild ?? chosen).focus();
    if (!this.isBusy) summarize();
  }

  /** Show a share between 0 and 1 in the bar. */
  show(share) { this.bar.value = share; }

  start() {
    if (!batch.includes(this)) begin(this);
    this.enter("waiting", "Waiting");
    queue.push(this);
    work();
  }

  pause() { this.stopped.abort(); }
  wake() { this.woken?.(); }
  askToReplace() { this.enter("asking", "Replace the file in the channel? Lock files that name the old file will no longer install."); }
  keep() { this.enter("replaceable", this.reason); }
  replace() {
    this.force = true;
    this.start();
  }

  remove() {
    this.row.remove();
    batch = batch.filter((upload) => upload !== this);
    chosen.focus();
  }

  async cancel() {
    this.isCanceled = true;
    this.stopped?.abort();
    this.woken?.();
    const location = this.location ?? memory.get(this.file);
    memory.drop(this.file);
    this.remove();
    if (!running) summarize();
    if (location) await sendRequest("DELETE", location, {}).catch(() => { /* it expires by itself */ });
  }

  async run() {
    this.stopped = new AbortController();
    for (let failures = 0; ; ) {
      const before = this.offset ?? 0;
      try {
        await this.send();
        return;
      } catch (error) {
        if (this.isCanceled) return;
        if (error instanceof Interrupted) return this.enter("paused", `Paused at ${Math.floor(100 * this.bar.value)}%`);
        if (error instanceof Refusal) return this.refuse(error);
        if (await this.isUnreadable()) return this.refuse(new Refusal("The browser can no longer read this file. Choose it again."));
        failures = (this.offset ?? 0) > before ? 1 : failures + 1;
        const seconds = Math.max(2 ** (failures - 1), error.wait ?? 0);
        if (failures >= MAX_FAILURES || seconds > MAX_WAIT_SECONDS) return this.enter("failed", `${error.message}${this.offset ? " Trying again continues where it stopped." : ""}`);
        await this.wait(error.message, seconds);
        if (this.isCanceled) return;
      }
    }
  }

  /** Wait before the next attempt; the button of the row, or a connection that is back, ends the wait. */
  async wait(message, seconds) {
    const ended = new Promise((resolve) => {
      this.woken = () => { seconds = 0; resolve(); };
      addEventListener("online", this.woken, { once: true });
    });
    for (; seconds > 0; seconds -= 1) {
      this.enter("retrying", `${message} Trying again in ${duration(seconds)}.`);
      await Promise.race([pause(1000), ended]);
    }
    removeEventListener("online", this.woken);
  }

  async isUnreadable() {
    try {
      await this.file.slice(0, 1).arrayBuffer();
      return false;
    } catch {
      return true;
    }
  }

  async send() {
    await this.find();
    this.samples = [[performance.now(), this.offset]];
    while (this.offset < this.file.size) {
      const start = this.offset;
      const chunk = this.file.slice(start, start + CHUNK);
      const headers = { "Upload-Offset": String(start), "Content-Type": "application/offset+octet-stream" };
      this.progress(start);
      try {
        this.response = checked(await sendRequest("PATCH", this.location, headers, chunk, {
          progress: (sent) => this.progress(start + sent), signal: this.stopped.signal,
        }));
      } catch (error) {
        if (error.status === 404) { // the upload has expired, or the server lost a part of it: begin again
          this.location = null;
          memory.drop(this.file);
          throw new Error(error.message);
        }
        if (error.status !== 409 || error.response.getResponseHeader("Seaway-Existing")) throw error;
        await this.find(); // the server has received another number of bytes
        if (this.offset === start) throw error;
        continue;
      }
      this.offset = Number(this.response.getResponseHeader("Upload-Offset"));
    }
    this.finish(this.response);
  }

  /** Set `location` and `offset` of an unfinished upload, or of a new one. */
  async find() {
    const known = this.location ?? (this.force ? null : memory.get(this.file));
    if (known) {
      const response = await sendRequest("HEAD", known, {});
      if (response.status === 200) {
        this.location = known;
        this.offset = Number(response.getResponseHeader("Upload-Offset"));
        this.response = response;
        return;
      }
      if (response.status !== 404) checked(response);
    }
    this.sha256 ??= await this.hash();
    const metadata = { filename: this.file.name, sha256: this.sha256, ...(this.force ? { force: "true" } : {}) };
    const headers = {
      "Upload-Length": String(this.file.size),
      "Upload-Metadata": Object.entries(metadata).map(([name, value]) => `${name} ${encoded(value)}`).join(","),
    };
    this.location = checked(await sendRequest("POST", `/api/v1/uploads/${channel}`, headers)).getResponseHeader("Location");
    this.offset = 0;
    memory.set(this.file, this.location);
  }

  /** Return the SHA-256 of the file. The server compares it, and refuses a file that it has before any byte is sent. */
  hash() {
    this.enter("hashing", "Hashing");
    const worker = new Worker(root.dataset.hasher);
    return new Promise((resolve, reject) => {
      worker.addEventListener("message", ({ data }) => {
        if (data.sha256) resolve(data.sha256);
        else if (data.unreadable) reject(new Refusal("The browser cannot read this file. Choose it again."));
        else this.enter("hashing", `Hashing, ${Math.floor(100 * data.done / this.file.size)}%`);
      });
      worker.addEventListener("error", () => reject(new Error("The script of this page could not be loaded.")));
      this.stopped.signal.addEventListener("abort", () => reject(new Interrupted()), { once: true });
      worker.postMessage(this.file);
    }).finally(() => worker.terminate());
  }

  progress(sent) {
    const all = this.file.size;
    this.show(sent / all);
    if (sent >= all) return this.enter("checking", "Checking the package");
    const now = performance.now();
    this.samples.push([now, sent]);
    while (this.samples.length > 2 && now - this.samples[0][0] > SPEED_WINDOW_MS) this.samples.shift();
    const [at, from] = this.samples[0];
    const speed = now - at > 500 ? (1000 * (sent - from)) / (now - at) : 0;
    const rate = speed ? `, ${size(speed)}/s, ${duration((all - sent) / speed)} left` : "";
    this.enter("sending", `Uploading, ${Math.floor(100 * sent / all)}%${rate}`);
  }

  /** Link the name of the row to the page of the file that `Seaway-Path` names. */
  linkTo(path) {
    const [, , subdir, name] = path.split("/");
    this.package = packageOf(name);
    const address = `/channels/${channel}/packages/${encodeURIComponent(this.package)}`;
    this.name.replaceChildren(link(this.file.name, `${address}/files/${subdir}/${encodeURIComponent(name)}`));
    return subdir;
  }

  finish(response) {
    memory.drop(this.file);
    this.location = null;
    this.show(1);
    const outcome = response.getResponseHeader("Seaway-Outcome");
    const where = `${this.linkTo(response.getResponseHeader("Seaway-Path"))}, revision ${response.getResponseHeader("Seaway-Revision")}`;
    const warning = response.getResponseHeader("Seaway-Warning");
    if (warning) {
      this.warning.hidden = false;
      this.warning.querySelector("span:last-child").textContent = warning;
    }
    if (outcome === "repeated") this.enter("existing", `Already in the channel: ${where}`);
    else this.enter("published", `${outcome === "replaced" ? "Replaced" : "Published"}: ${where}`);
  }

  refuse(error) {
    if (error.status === 401) { // what the server has received stays in the memory of the browser
      this.enter("refused", "Your session has ended. Sign in and choose the file again: the upload continues where it stopped.");
      this.text.append(" ", link("Sign in", `/signin?next=${encodeURIComponent(location.pathname)}`));
      return;
    }
    memory.drop(this.file);
    this.location = null;
    const existing = error.response?.getResponseHeader("Seaway-Existing");
    const subdir = existing && this.linkTo(error.response.getResponseHeader("Seaway-Path"));
    if (existing === "same") return this.enter("existing", `Already in the channel: ${subdir}`);
    this.reason = error.message;
    this.enter(existing === "replaceable" && !this.force ? "replaceable" : "refused", this.reason);
  }
}

async function work() {
  if (running >= PARALLEL_UPLOADS) return;
  running += 1;
  while (queue.length) {
    const upload = queue.shift();
    if (!upload.isCanceled) await upload.run();
  }
  running -= 1;
  if (!running) await refresh();
}

/** Add an upload to the batch that the summary describes; a new batch begins when all uploads have ended. */
function begin(upload) {
  if (!running && !queue.length) [batch, skipped] = [[], []];
  batch.push(upload);
}

/** Show the channel as it is now: the number of its packages and the latest uploads. */
async function refresh() {
  summarize();
  if (!batch.some((upload) => upload.state === "published")) return;
  const response = await fetch(location.pathname, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!response?.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const old of document.querySelectorAll("[data-fresh]")) {
    const now = fresh.querySelector(`[data-fresh="${old.dataset.fresh}"]`);
    if (now) old.replaceWith(now);
  }
}

/** Describe the batch in the live region: one announcement when it starts and one when it has ended. */
function summarize() {
  const inState = (...states) => batch.filter((upload) => states.includes(upload.state));
  const busy = batch.filter((upload) => upload.isBusy);
  const parts = skipped.length ? [[describeSkipped()]] : [];
  let kind = skipped.length ? "warn" : "plain";
  if (busy.length) parts.unshift([`Uploading ${counted(batch.length, "file")}.`]);
  else {
    const [published, existing, paused, bad] = [inState("published"), inState("existing"), inState("paused"), inState("failed", "refused", "replaceable", "asking")];
    if (bad.length) parts.unshift([`${counted(bad.length, "file")} ${bad.length === 1 ? "was" : "were"} not published. The list says why.`]);
    if (paused.length) parts.unshift([`${counted(paused.length, "upload")} paused.`]);
    if (existing.length) parts.unshift([`${counted(existing.length, "file")} ${existing.length === 1 ? "was" : "were"} already in the channel.`]);
    if (published.length) parts.unshift(describePublished(published));
    kind = bad.length || skipped.length ? "warn" : published.length ? "good" : "plain";
  }
  const text = parts.map((part) => part.map((node) => node.textContent ?? node).join("")).join(" ");
  if (text === announced) return;
  announced = text;
  status.replaceChildren();
  if (!text) return;
  const notice = document.querySelector(`[data-notice="${kind}"]`).content.cloneNode(true);
  notice.querySelector("[data-sentences]").append(...parts.flatMap((part, number) => (number ? [" ", ...part] : part)));
  status.append(notice);
}

function describePublished(published) {
  const names = [...new Set(published.map((upload) => upload.package))];
  const links = names.slice(0, MAX_NAMES).flatMap((name, number) => [number ? ", " : "", link(name, `/channels/${channel}/packages/${encodeURIComponent(name)}`)]);
  const rest = names.length > MAX_NAMES ? [` and ${counted(names.length - MAX_NAMES, "other package")}`] : [];
  return [`${counted(published.length, "file")} published: `, ...links, ...rest, "."];
}

function describeSkipped() {
  const names = skipped.length <= 3 ? skipped.join(", ") : counted(skipped.length, "file");
  return `${names} ${skipped.length === 1 ? "was" : "were"} skipped: only .conda and .tar.bz2 files can be uploaded.`;
}

function addFiles(files) {
  const limit = Number(root.dataset.limit);
  if (!running && !queue.length) [batch, skipped] = [[], []];
  for (const file of files) {
    if (!/\.(conda|tar\.bz2)$/.test(file.name)) {
      skipped.push(file.name);
      continue;
    }
    const upload = new Upload(file);
    batch.push(upload);
    if (file.size > limit) upload.enter("refused", `This file has ${counted(file.size, "byte")}; this server accepts at most ${limit.toLocaleString("en")}. Ask the operator to raise the limit.`);
    else queue.push(upload);
  }
  const started = Math.min(queue.length, PARALLEL_UPLOADS - running);
  for (let number = 0; number < started; number += 1) work();
  summarize();
}

/** Return the files that were dropped, with those in folders. */
async function filesIn(transfer) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const dropped = items.map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]); // the items exist only during the event
  const found = [];
  for (const [entry, file] of dropped) found.push(...(entry?.isDirectory ? await filesBelow(entry) : [file]));
  return found;
}

async function filesBelow(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) { // it returns at most a hundred entries at a time, and none at the end
    const entries = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!entries.length) return found;
    for (const entry of entries) {
      found.push(...(entry.isDirectory ? await filesBelow(entry) : [await new Promise((resolve, reject) => { entry.file(resolve, reject); })]));
    }
  }
}

const chosen = root.querySelector("[data-files]");
chosen.multiple = true;
for (const field of [chosen, root.querySelector("[data-folder]")]) {
  field.addEventListener("change", () => {
    addFiles([...field.files]);
    field.value = "";
  });
}
// Files can be dropped anywhere on the page: beside the zone, the browser would open them instead of this page.
const zone = root.querySelector("[data-drop]");
const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zone.dataset.over = "";
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) delete zone.dataset.over; });
document.addEventListener("drop", async (event) => {
  delete zone.dataset.over;
  if (!hasFiles(event)) return;
  event.preventDefault();
  addFiles(await filesIn(event.dataTransfer));
});
// Closing the page loses no sent data, but is rarely intended: ask for confirmation.
addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
