// An auth service for siomesh: answers who may join a namespace. Run it in place of `siomesh auth`, never beside it:
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

const { values } = parseArgs({ options: { nats: { type: "string", default: "nats://127.0.0.1:4222" } } });
const nats = await connect({ servers: values.nats, name: "auth-node", maxReconnectAttempts: -1 });
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => nats.drain());

const { decode, encode } = JSONCodec();
const requests = nats.subscribe("sio.v1.auth.connect", { queue: "auth" });
await nats.flush();
console.log("auth-node: ready");
for await (const request of requests) {
  try {
    request.respond(encode(decide(decode(request.data))));
  } catch {
    request.respond(encode({ allow: false, message: "malformed request" }));
  }
}
