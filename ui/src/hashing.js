// Worker that computes the SHA-256 of a file while it is read: `crypto.subtle` needs the whole file in memory, and does
// not exist on sites without HTTPS. It posts { done: BYTES } about every 4 MiB, then { sha256: HEX }, or { unreadable: true }.
const CHUNK = 4 * 1024 * 1024;

// The constants of FIPS 180-4: the first 32 bits of the fractional parts of roots of primes.
const fraction = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
const primes = [];
for (let candidate = 2; primes.length < 64; candidate += 1) {
  if (primes.every((prime) => candidate % prime)) primes.push(candidate);
}
const K = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
const state = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
const w = new Int32Array(64);

/** Process whole blocks of 64 bytes. */
function compress(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = 0; start < bytes.length; start += 64) compressBlock(view, start);
}

// One function for each block: browsers optimize it after some calls, but not a loop that is already running.
function compressBlock(view, start) {
  for (let i = 0; i < 16; i += 1) w[i] = view.getInt32(start + 4 * i);
  for (let i = 16; i < 64; i += 1) {
    const x = w[i - 15], y = w[i - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
  }
  let a = state[0] | 0, b = state[1] | 0, c = state[2] | 0, d = state[3] | 0;
  let e = state[4] | 0, f = state[5] | 0, g = state[6] | 0, h = state[7] | 0;
  for (let i = 0; i < 64; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
  }
  state[0] += a; state[1] += b; state[2] += c; state[3] += d; state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}

const block = new Uint8Array(64); // starts with the bytes that do not fill a block yet
let kept = 0;

function update(bytes) {
  const missing = kept ? Math.min(64 - kept, bytes.length) : 0;
  block.set(bytes.subarray(0, missing), kept);
  if (kept + missing < 64 && kept) {
    kept += missing;
    return;
  }
  if (kept) compress(block);
  const end = missing + 64 * Math.floor((bytes.length - missing) / 64);
  compress(bytes.subarray(missing, end));
  block.set(bytes.subarray(end));
  kept = bytes.length - end;
}

/** Process the last bytes with the padding: a one bit, zeros, and the length in bits. Return the hash. */
function finish(size) {
  const padded = new Uint8Array(kept < 56 ? 64 : 128);
  padded.set(block.subarray(0, kept));
  padded[kept] = 0x80;
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(size) * 8n);
  compress(padded);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

/** Yield the bytes of the file, in one buffer where the browser supports it: new buffers would take up to 180 MB. */
async function* chunksOf(file) {
  const stream = file.stream();
  try {
    const reader = stream.getReader({ mode: "byob" });
    for (let buffer = new ArrayBuffer(CHUNK); ;) {
      const { value } = await reader.read(new Uint8Array(buffer));
      if (!value.length) return;
      yield value;
      buffer = value.buffer;
    }
  } catch (error) {
    if (stream.locked) throw error;
  }
  const reader = stream.getReader();
  for (;;) {
    const { value } = await reader.read();
    if (!value) return;
    yield value;
  }
}

addEventListener("message", async ({ data: file }) => {
  try {
    let [done, posted] = [0, 0];
    for await (const bytes of chunksOf(file)) {
      update(bytes);
      done += bytes.length;
      if (done - posted < CHUNK) continue;
      postMessage({ done });
      posted = done;
    }
    postMessage({ sha256: finish(file.size) });
  } catch {
    postMessage({ unreadable: true });
  }
});
