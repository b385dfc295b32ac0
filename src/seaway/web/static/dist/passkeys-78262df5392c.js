// Passkeys: what the server asks goes to the authenticator, what that says goes back in the same form.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const known = (list) => (list ?? []).map((item) => ({ ...item, id: bytes(item.id) }));

async function created(options) {
  const credential = await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: bytes(options.challenge),
      user: { ...options.user, id: bytes(options.user.id) },
      excludeCredentials: known(options.excludeCredentials),
    },
  });
  const { response } = credential;
  return {
    id: credential.id, rawId: text(credential.rawId), type: credential.type,
    response: {
      clientDataJSON: text(response.clientDataJSON), attestationObject: text(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

async function proved(options) {
  const credential = await navigator.credentials.get({
    publicKey: { ...options, challenge: bytes(options.challenge), allowCredentials: known(options.allowCredentials) },
  });
  const { response } = credential;
  return {
    id: credential.id, rawId: text(credential.rawId), type: credential.type,
    response: {
      clientDataJSON: text(response.clientDataJSON), authenticatorData: text(response.authenticatorData),
      signature: text(response.signature), userHandle: response.userHandle ? text(response.userHandle) : null,
    },
    clientExtensionResults: credential.getClientExtensionResults(),
  };
}

// Each form names where its question is asked (data-passkey-options) and what is wanted (data-passkey: create or get).
for (const form of document.querySelectorAll("form[data-passkey]")) {
  const said = form.querySelector("[data-passkey-said]");
  if (!window.PublicKeyCredential) {
    said.textContent = "This browser has no passkeys. Use another way.";
    continue;
  }
  form.querySelector("button").disabled = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.textContent = "Waiting for your passkey …";
    try {
      const body = new URLSearchParams(new FormData(form));
      const answer = await fetch(form.dataset.passkeyOptions, { method: "POST", body, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(await answer.text());
      const options = await answer.json();
      form.elements.credential.value = JSON.stringify(await (form.dataset.passkey === "create" ? created : proved)(options));
      form.submit();
    } catch (error) {
      said.textContent = error.name === "NotAllowedError"
        ? "Nothing was confirmed. Try again, or use another way."
        : error.name === "InvalidStateError" ? "This passkey is registered already." : error.message;
    }
  });
}
