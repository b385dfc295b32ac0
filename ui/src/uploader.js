// Uploads package files in chunks (tus 1.0.0) and resumes after a lost connection or a reload.
// Each file has a row with its progress. A refused file shows the server's message there.
const CHUNK = 8 * 1024 * 1024;
const PARALLEL_UPLOADS = 3;
const MAX_FAILURES = 6;
const TUS = { "Tus-Resumable": "1.0.0" };

const root = document.querySelector("[data-uploader]");
const list = root.querySelector("[data-list]");
const status = root.querySelector("[data-status]");
const waiting = [];
let running = 0;

class Refusal extends Error {}
class Interrupted extends Error {}

// URLs of unfinished uploads by file, so that choosing the same file again after a reload resumes its upload.
const memory = {
  key: (file) => `seaway-upload:${root.dataset.uploader}:${file.name}:${file.size}:${file.lastModified}`,
  get(file) { try { return localStorage.getItem(this.key(file)); } catch { return null; } },
  set(file, location) { try { localStorage.setItem(this.key(file), location); } catch { /* without storage, a reload starts over */ } },
  drop(file) { try { localStorage.removeItem(this.key(file)); } catch { /* nothing was stored */ } },
};

function sendRequest(method, url, headers, body, { progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, url);
    for (const [name, value] of Object.entries({ ...TUS, "X-CSRF-Token": root.dataset.token, ...headers })) request.setRequestHeader(name, value);
    if (progress) request.upload.addEventListener("progress", (event) => progress(event.loaded));
    request.addEventListener("load", () => resolve(request));
    request.addEventListener("error", () => reject(new Error("The connection was lost.")));
    request.addEventListener("abort", () => reject(new Interrupted()));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(body);
  });
}

function checked(request) {
  if (request.status < 300) return request;
  const sentence = request.responseText.trim() || `The server returned status ${request.status}.`;
  // Retried: 409 (possibly a wrong offset, which find() corrects), 429 and 5xx.
  const isRetried = request.status === 409 || request.status === 429 || request.status >= 500;
  throw Object.assign(isRetried ? new Error(sentence) : new Refusal(sentence), { status: request.status });
}

const encoded = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
const units = ["bytes", "kB", "MB", "GB"];
function size(bytes) {
  let power = 0;
  while (bytes >= 1000 && power < 3) { bytes /= 1000; power += 1; }
  return `${bytes.toFixed(power && bytes < 100 ? 1 : 0)} ${units[power]}`;
}
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

class Sending {
  constructor(file) {
    this.file = file;
    this.row = document.createElement("li");
    const name = document.createElement("strong");
    name.textContent = file.name;
    this.bar = document.createElement("progress");
    this.bar.max = file.size;
    this.bar.value = 0;
    this.bar.setAttribute("aria-label", `Progress of ${file.name}`);
    this.text = document.createElement("span");
    this.text.className = "soft small tabular-nums";
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "btn btn-plain btn-small";
    this.button.addEventListener("click", () => this.press());
    this.row.append(name, this.bar, this.text, this.button);
    list.append(this.row);
    this.enter("waiting", `${size(file.size)}, waiting`);
  }

  enter(state, text) {
    this.state = state;
    this.row.dataset.state = state;
    this.text.textContent = text;
    const label = { waiting: "", sending: "Pause", paused: "Resume", failed: "Retry" }[state] ?? "";
    this.button.hidden = !label;
    this.button.textContent = label;
    if (label) this.button.setAttribute("aria-label", `${label}: ${this.file.name}`);
  }

  press() {
    if (this.state === "sending") this.stopped.abort();
    else start(this);
  }

  async run() {
    this.stopped = new AbortController();
    for (let failures = 0; ; ) {
      const before = this.offset ?? 0;
      try {
        this.enter("sending", "starting");
        await this.send();
        return;
      } catch (error) {
        if (error instanceof Interrupted) return this.enter("paused", `paused at ${size(this.bar.value)} of ${size(this.file.size)}`);
        if (error instanceof Refusal) return this.fail(error.message);
        failures = (this.offset ?? 0) > before ? 1 : failures + 1;
        if (failures >= MAX_FAILURES) return this.fail(`${error.message} Retry to resume where it stopped.`);
        this.text.textContent = `${error.message} Retrying...`;
        await Promise.race([pause(500 * 2 ** failures), new Promise((resolve) => { addEventListener("online", resolve, { once: true }); })]);
        if (this.stopped.signal.aborted) return this.enter("paused", "paused");
      }
    }
  }

  async send() {
    await this.find();
    this.began = performance.now();
    this.from = this.offset;
    while (this.offset < this.file.size) {
      const chunk = this.file.slice(this.offset, this.offset + CHUNK);
      const headers = { "Upload-Offset": String(this.offset), "Content-Type": "application/offset+octet-stream" };
      const start = this.offset;
      let response;
      try {
        response = checked(await sendRequest("PATCH", this.location, headers, chunk, { progress: (sent) => this.show(start + sent), signal: this.stopped.signal }));
      } catch (error) {
        if (error instanceof Refusal) memory.drop(this.file);
        if (error.status !== 409) throw error;
        // Either the offset was wrong and find() corrects it, or the offset is right and the server refuses the file.
        await this.find();
        if (this.offset !== start) continue;
        memory.drop(this.file);
        throw new Refusal(error.message);
      }
      this.offset = Number(response.getResponseHeader("Upload-Offset"));
      this.show(this.offset);
      this.response = response;
    }
    this.done(this.response);
  }

  // Set `location` and `offset` of an unfinished upload, or of a new one.
  async find() {
    const known = this.location ?? memory.get(this.file);
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
    const headers = { "Upload-Length": String(this.file.size), "Upload-Metadata": `filename ${encoded(this.file.name)}` };
    const response = await sendRequest("POST", `/api/v1/uploads/${root.dataset.uploader}`, headers);
    if (response.status === 409) throw new Refusal(response.responseText);
    this.location = checked(response).getResponseHeader("Location");
    this.offset = 0;
    memory.set(this.file, this.location);
  }

  show(sent) {
    this.bar.value = sent;
    const seconds = (performance.now() - this.began) / 1000;
    const speed = seconds > 0.5 ? `, ${size((sent - this.from) / seconds)}/s` : "";
    this.text.textContent = sent < this.file.size ? `${size(sent)} of ${size(this.file.size)}${speed}` : "processing";
  }

  done(response) {
    memory.drop(this.file);
    this.bar.value = this.file.size;
    this.enter("done", "");
    const path = response.getResponseHeader("Seaway-Path");
    const name = this.file.name.replace(/\.(conda|tar\.bz2)$/, "").split("-").slice(0, -2).join("-");
    const link = document.createElement("a");
    link.href = `/channels/${root.dataset.uploader}/packages/${encodeURIComponent(name)}`;
    link.textContent = `${path?.split("/")[2] ?? ""}, revision ${response.getResponseHeader("Seaway-Revision")}`;
    this.text.replaceChildren("Published: ", link);
    const warning = response.getResponseHeader("Seaway-Warning");
    if (warning) this.text.append(` ${warning}`);
    status.textContent = `${this.file.name} is published.`;
  }

  fail(message) {
    this.enter("failed", message);
    status.textContent = `${this.file.name}: ${message}`;
  }
}

async function start(sending) {
  waiting.push(sending);
  if (running >= PARALLEL_UPLOADS) return;
  running += 1;
  while (waiting.length) await waiting.shift().run();
  running -= 1;
}

function addFiles(files) {
  const limit = Number(root.dataset.limit);
  for (const file of files) {
    const sending = new Sending(file);
    if (!/\.(conda|tar\.bz2)$/.test(file.name)) sending.fail("Only .conda and .tar.bz2 files can be uploaded.");
    else if (file.size > limit) sending.fail(`This file is larger than ${size(limit)}, the limit of this server.`);
    else start(sending);
  }
}

const chosen = root.querySelector("[data-files]");
chosen.addEventListener("change", () => { addFiles(chosen.files); chosen.value = ""; });
const drop = root.querySelector("[data-drop]");
for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.dataset.over = ""; });
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => { delete drop.dataset.over; });
drop.addEventListener("drop", (event) => { event.preventDefault(); addFiles(event.dataTransfer.files); });
// Closing the page loses no sent data, but is rarely intended: ask for confirmation.
addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
