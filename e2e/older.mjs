// node older.mjs --allowing http://127.0.0.1:3000 --refusing http://127.0.0.1:3001
//
// Plays scenarios with the socket.io-client of 2.x against two servers of e2e/app, one with --allow-eio3 and one without, for
// each transport, and prints a line of JSON for each: {"name","ok","ms","error"}. Exit status 1: one failed.

import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import io from "socket.io-client-v2";
import { patience, report, within } from "./lib/report.mjs";

const { values: urls } = parseArgs({ options: { allowing: { type: "string" }, refusing: { type: "string" } } });

const heard = (s, name) =>
  new Promise((resolve, reject) => {
    s.once(name, (...args) => resolve(args));
    if (name !== "error") s.once("error", (err) => reject(new Error(`error: ${JSON.stringify(err)}`)));
  });
const request = (s, name, ...args) => new Promise((resolve) => s.emit(name, ...args, resolve));

const scenarios = {
  // V3-011: the id that the client made up is the one the server knows, in its own room too.
  async connect(open) {
    const s = open("/");
    const greeted = heard(s, "hello");
    await heard(s, "connect");
    assert.deepEqual(await greeted, ["only"]);
    assert.equal(s.id, s.io.engine.id);
    assert.deepEqual(await request(s, "rooms"), [s.id]);
  },

  async eventsAndAcknowledgements(open) {
    const s = open("/");
    const back = heard(s, "back");
    s.emit("back", "über", { a: [1, null] });
    assert.deepEqual(await back, ["über", { a: [1, null] }]);
    assert.equal(await request(s, "echo", "€"), "€");
    s.on("question", (what, reply) => reply(`${what} yes`));
    assert.equal(await request(s, "ask", "ready?"), "ready? yes");
  },

  async binary(open) {
    const s = open("/");
    const data = Buffer.from([0, 1, 255, 30, 4]);
    const back = heard(s, "back");
    s.emit("back", "text", { data });
    const [text, object] = await back;
    assert.equal(text, "text");
    assert.deepEqual(Buffer.from(object.data), data);
    assert.deepEqual(Buffer.from(await request(s, "echo", data)), data);
  },

  // V3-012, and V3-011 for a namespace.
  async namespaceWithQuery(open) {
    const custom = open("/custom?token=a%2Cb&n=1");
    assert.deepEqual(await heard(custom, "auth"), [{ token: "a,b", n: "1" }]);
    const plain = open("/custom");
    assert.deepEqual(await heard(plain, "auth"), [{}]);
    const news = open("/news", { query: { a: "b" } });
    await heard(news, "connect");
    assert.equal(news.id, `/news#${news.io.engine.id}`);
    assert.deepEqual(await request(news, "rooms"), [news.id]);
    assert.equal((await request(news, "handshake")).auth.a, "b");
    await heard(news.io.socket("/custom"), "connect"); // without it the client would close the connection
    news.disconnect();
    news.connect();
    await heard(news, "connect");
    assert.equal(await request(news, "echo", "again"), "again");
  },

  // V3-014: the data of a refusal, else its message.
  async refused(open) {
    const s = open("/guarded?token=wrong");
    assert.deepEqual(await heard(s, "error"), [{ content: "Please retry later", retry: true }]);
    assert.deepEqual(await heard(open("/nobody-serves-this"), "error"), ["Invalid namespace"]);
    const [message] = await heard(open("/members"), "error");
    assert.equal(typeof message, "string");
    const member = open("/members?token=letmein");
    await heard(member, "connect");
    assert.equal((await request(member, "data")).user, "ann");
  },

  async disconnectedByTheServer(open) {
    const s = open("/");
    await heard(s, "connect");
    const gone = heard(s, "disconnect");
    s.emit("kick", false);
    assert.deepEqual(await gone, ["io server disconnect"]);
  },

  // V3-013
  async notAllowed(open) {
    const s = open("/", {}, urls.refusing);
    s.once("connect", () => assert.fail("connected"));
    const [err] = await heard(s, "connect_error");
    assert.ok(err instanceof Error, `${err}`);
  },
};

async function play(run, transport) {
  const sockets = [];
  const open = (namespace, options = {}, url = urls.allowing) => {
    const s = io(url + namespace, { forceNew: true, reconnection: false, transports: [transport], ...options });
    sockets.push(s);
    return s;
  };
  try {
    await within(patience, run(open));
  } finally {
    for (const s of sockets) s.io.close();
  }
}

process.on("unhandledRejection", () => {}); // what a failed scenario left behind
let failed = 0;
for (const [name, run] of Object.entries(scenarios)) {
  for (const transport of ["websocket", "polling"]) {
    if (!(await report(`${name}/${transport}`, () => play(run, transport)))) failed++;
  }
}
process.exit(failed > 0 ? 1 : 0);
