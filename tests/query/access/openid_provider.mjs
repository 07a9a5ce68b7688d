// The certified oidc-provider on loopback, for the tests: node openid_provider.mjs FOLDER PORT REDIRECT_URI USERS
// FOLDER holds node_modules; USERS is a file of JSON, read each time: name → claims. Its own log-in and consent forms are
// used.
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [folder, port, redirectUri, users] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/`));
const {default: Provider} = await import(pathToFileURL(require.resolve("oidc-provider")));
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{client_id: "postwatch", client_secret: "client-secret", redirect_uris: [redirectUri]}],
  pkce: {required: () => true},
  claims: {openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username", "groups"]},
  findAccount: (_context, name) => {
    const known = JSON.parse(readFileSync(users, "utf8"))[name];
    return known && {accountId: name, claims: () => ({sub: name, ...known})};
  },
  cookies: {keys: ["only for tests"]},
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
