// A certified OpenID provider with one client, which accepts any account; prints its URL.
// Its development pages ask for a name, accept any password, and ask for consent.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [clientId, clientSecret, redirectUri] = process.argv.slice(2);
const listener = createServer();
listener.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${listener.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uris: [redirectUri],
        response_types: ["code"],
        grant_types: ["authorization_code"],
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "preferred_username"] },
    pkce: { required: () => true },
    async findAccount(_context, id) {
      const claims = { sub: id, preferred_username: id, email: `${id}@example.com`, email_verified: true };
      return { accountId: id, claims: async () => claims };
    },
  });
  listener.on("request", provider.callback());
  console.log(`listens on ${issuer}`);
});
