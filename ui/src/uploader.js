// Sends package files in pieces (tus 1.0.0) and goes on after a lost connection or a reload.
// Each file has a row with its progress; what the server refuses is said there, in the server's own words.
const PIECE = 8 * 1024 * 1024;
const AT_ONCE = 3;
const TRIES = 6;
const TUS = { "Tus-Resumable": "1.0.0" };

const root = document.querySelector("[data-uploader]");
const list = root.querySelector("[data-list]");
const said = root.querySelector("[data-said]");
const waiting = [];
let running = 0;

class Refusal extends Error {}
class Interrupted extends Error {}

// What was begun is remembered by what the file is, so that choosing it again after a reload goes on with it.
const memory = {
  key: (file) => `seaway-upload:${root.dataset.uploader}:${file.name}:${file.size}:${file.lastModified}`,
  get(file) { try { return localStorage.getItem(this.key(file)); } catch { return null; } },
  set(file, location) { try { localStorage.setItem(this.key(file), location); } catch { /* it then begins anew after a reload */ } },
  drop(file) { try { localStorage.removeItem(this.key(file)); } catch { /* nothing was kept */ } },
};

function ask(method, address, headers, body, { progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, address);
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
  const sentence = request.responseText.trim() || `The server answered ${request.status}.`;
  // 409 may be a wrong offset, which a look puts right; 429 and 5xx pass.
  const passes = request.status === 409 || request.status === 429 || request.status >= 500;
  throw Object.assign(passes ? new Error(sentence) : new Refusal(sentence), { status: request.status });
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
    const label = { waiting: "", sending: "Pause", paused: "Go on", failed: "Try again" }[state] ?? "";
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
        this.enter("sending", "beginning");
        await this.send();
        return;
      } catch (error) {
        if (error instanceof Interrupted) return this.enter("paused", `paused at ${size(this.bar.value)} of ${size(this.file.size)}`);
        if (error instanceof Refusal) return this.fail(error.message);
        failures = (this.offset ?? 0) > before ? 1 : failures + 1;
        if (failures >= TRIES) return this.fail(`${error.message} It goes on where it stopped.`);
        this.text.textContent = `${error.message} Trying again…`;
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
      const piece = this.file.slice(this.offset, this.offset + PIECE);
      const headers = { "Upload-Offset": String(this.offset), "Content-Type": "application/offset+octet-stream" };
      const start = this.offset;
      let answer;
      try {
        answer = checked(await ask("PATCH", this.location, headers, piece, { progress: (sent) => this.show(start + sent), signal: this.stopped.signal }));
      } catch (error) {
        if (error instanceof Refusal) memory.drop(this.file);
        if (error.status !== 409) throw error;
        // The server is elsewhere, and says where; or it is here, and what it refuses is the file.
        await this.find();
        if (this.offset !== start) continue;
        memory.drop(this.file);
        throw new Refusal(error.message);
      }
      this.offset = Number(answer.getResponseHeader("Upload-Offset"));
      this.show(this.offset);
      this.answer = answer;
    }
    this.done(this.answer);
  }

  // Where to go on: at an upload that was begun, or at a new one.
  async find() {
    const known = this.location ?? memory.get(this.file);
    if (known) {
      const answer = await ask("HEAD", known, {});
      if (answer.status === 200) {
        this.location = known;
        this.offset = Number(answer.getResponseHeader("Upload-Offset"));
        this.answer = answer;
        return;
      }
      if (answer.status !== 404) checked(answer);
    }
    const headers = { "Upload-Length": String(this.file.size), "Upload-Metadata": `filename ${encoded(this.file.name)}` };
    const answer = await ask("POST", `/api/v1/uploads/${root.dataset.uploader}`, headers);
    if (answer.status === 409) throw new Refusal(answer.responseText);
    this.location = checked(answer).getResponseHeader("Location");
    this.offset = 0;
    memory.set(this.file, this.location);
  }

  show(sent) {
    this.bar.value = sent;
    const seconds = (performance.now() - this.began) / 1000;
    const speed = seconds > 0.5 ? `, ${size((sent - this.from) / seconds)}/s` : "";
    this.text.textContent = sent < this.file.size ? `${size(sent)} of ${size(this.file.size)}${speed}` : "being examined";
  }

  done(answer) {
    memory.drop(this.file);
    this.bar.value = this.file.size;
    this.enter("done", "");
    const path = answer.getResponseHeader("Seaway-Path");
    const name = this.file.name.replace(/\.(conda|tar\.bz2)$/, "").split("-").slice(0, -2).join("-");
    const link = document.createElement("a");
    link.href = `/channels/${root.dataset.uploader}/packages/${encodeURIComponent(name)}`;
    link.textContent = `${path?.split("/")[2] ?? ""}, revision ${answer.getResponseHeader("Seaway-Revision")}`;
    this.text.replaceChildren("Published: ", link);
    const warning = answer.getResponseHeader("Seaway-Warning");
    if (warning) this.text.append(` ${warning}`);
    said.textContent = `${this.file.name} is published.`;
  }

  fail(message) {
    this.enter("failed", message);
    said.textContent = `${this.file.name}: ${message}`;
  }
}

async function start(sending) {
  waiting.push(sending);
  if (running >= AT_ONCE) return;
  running += 1;
  while (waiting.length) await waiting.shift().run();
  running -= 1;
}

function take(files) {
  const limit = Number(root.dataset.limit);
  for (const file of files) {
    const sending = new Sending(file);
    if (!/\.(conda|tar\.bz2)$/.test(file.name)) sending.fail("Only .conda and .tar.bz2 files are packages.");
    else if (file.size > limit) sending.fail(`It is larger than ${size(limit)}, the limit of this server.`);
    else start(sending);
  }
}

const chosen = root.querySelector("[data-files]");
chosen.addEventListener("change", () => { take(chosen.files); chosen.value = ""; });
const drop = root.querySelector("[data-drop]");
for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.dataset.over = ""; });
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => { delete drop.dataset.over; });
drop.addEventListener("drop", (event) => { event.preventDefault(); take(event.dataTransfer.files); });
// Closing the page in the middle is allowed, and costs nothing that was sent; but it is rarely meant.
addEventListener("beforeunload", (event) => { if (running) event.preventDefault(); });
