// An auth service for siomesh: answers who may join a namespace and, to edges with --auth-handshake, who may open a session. Run it in place of `siomesh auth`, never beside it:
//
//   node auth.js --nats nats://127.0.0.1:4222
import { parseArgs } from "node:util";
import { connect, JSONCodec } from "nats";

// Who may come in, by the token that the client gives: io(url, { auth: { token: "…" } }).
const users = new Map([
  ["ann-token", { user: "ann", data: { role: "admin" }, rooms: ["staff"] }],
  ["bob-token", { user: "bob", data: { role: "guest" } }],
]);

function decide({ namespace, auth }) {
  const who = users.get(auth?.token);
  if (!who) return { allow: false, message: "please sign in", data: { login: "/login" } };
  if (namespace === "/admin" && who.data.role !== "admin") return { allow: false, message: "admins only" };
  return { allow: true, ...who };
}

// Who may open a session at all: nobody from a blocked address. The headers go out with the response.
const blocked = new Set(["203.0.113.7"]);

function admit({ handshake }) {
  if (blocked.has(handshake.address)) return { allow: false, message: "blocked" };
  return { allow: true, headers: { "x-auth": "node" } };
}

const { values } = parseArgs({ options: { nats: { type: "string", default: "nats://127.0.0.1:4222" } } });
const nats = await connect({ servers: values.nats, name: "auth-node", maxReconnectAttempts: -1 });
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => nats.drain());

const { decode, encode } = JSONCodec();

async function serve(subject, answer) {
  for await (const request of nats.subscribe(subject, { queue: "auth" })) {
    try {
      request.respond(encode(answer(decode(request.data))));
    } catch {
      request.respond(encode({ allow: false, message: "malformed request" }));
    }
  }
}

const serving = [serve("sio.v1.auth.connect", decide), serve("sio.v1.auth.handshake", admit)];
await nats.flush();
console.log("auth-node: ready");
await Promise.all(serving);
