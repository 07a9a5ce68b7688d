// The certified oidc-provider on loopback, for the tests: node openid_provider.mjs FOLDER PORT REDIRECT_URI USERS
// FOLDER holds node_modules; USERS is JSON: name → claims. Its own log-in and consent forms are used.
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [folder, port, redirectUri, users] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/`));
const {default: Provider} = await import(pathToFileURL(require.resolve("oidc-provider")));
const known = JSON.parse(users);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{client_id: "postwatch", client_secret: "client-secret", redirect_uris: [redirectUri]}],
  pkce: {required: () => true},
  claims: {openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username", "groups"]},
  findAccount: (_context, name) =>
    known[name] && {accountId: name, claims: () => ({sub: name, ...known[name]})},
  cookies: {keys: ["only for tests"]},
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
