// Passkeys: pass the server's WebAuthn options to the authenticator and submit its response in the same form.
const fromBase64url = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const toBase64url = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const withBinaryIds = (list) => (list ?? []).map((item) => ({ ...item, id: fromBase64url(item.id) }));

async function createCredential(options) {
  const credential = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: fromBase64url(options.challenge),
      user: { ...options.user, id: fromBase64url(options.user.id) },
      excludeCredentials: withBinaryIds(options.excludeCredentials),
    },
  });
  const { response } = credential;
  return {
    id: credential.id, rawId: toBase64url(credential.rawId), type: credential.type,
    response: {
      clientDataJSON: toBase64url(response.clientDataJSON), attestationObject: toBase64url(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

async function getCredential(options) {
  const credential = await navigator.credentials.get({
    publicKey: { ...options, challenge: fromBase64url(options.challenge), allowCredentials: withBinaryIds(options.allowCredentials) },
  });
  const { response } = credential;
  return {
    id: credential.id, rawId: toBase64url(credential.rawId), type: credential.type,
    response: {
      clientDataJSON: toBase64url(response.clientDataJSON), authenticatorData: toBase64url(response.authenticatorData),
      signature: toBase64url(response.signature), userHandle: response.userHandle ? toBase64url(response.userHandle) : null,
    },
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

// Attributes of each form: data-passkey-options is the URL of the options, data-passkey is "create" or "get".
for (const form of document.querySelectorAll("form[data-passkey]")) {
  const status = form.querySelector("[data-passkey-status]");
  if (!window.PublicKeyCredential) {
    status.textContent = "This browser does not support passkeys. Use another method.";
    continue;
  }
  form.querySelector("button").disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    status.textContent = "Waiting for your passkey...";
    try {
      const body = new URLSearchParams(new FormData(form));
      const response = await fetch(form.dataset.passkeyOptions, { method: "POST", body, headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(await response.text());
      const options = await response.json();
      form.elements.credential.value = JSON.stringify(await (form.dataset.passkey === "create" ? createCredential : getCredential)(options));
      form.submit();
    } catch (error) {
      status.textContent = error.name === "NotAllowedError"
        ? "The passkey request was canceled or timed out. Try again or use another method."
        : error.name === "InvalidStateError" ? "This passkey is already registered." : error.message;
    }
  });
}
