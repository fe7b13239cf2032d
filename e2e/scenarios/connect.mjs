// What is decided while a client connects to a namespace, and what it is told.

import assert from "node:assert/strict";
import { record } from "../lib/context.mjs";

// MID-003, MID-004: the application's middleware refuses.
export async function refusalOfTheApplicationReachesTheClient(t) {
  const s = t.socket("/guarded", { auth: { token: "wrong" } });
  const err = await t.refused(s);
  assert.equal(err.message, "not authorized");
  assert.deepEqual(err.data, { content: "Please retry later", retry: true });
  assert.equal(s.connected, false);
}

// MID-012: the engine connection stays, for the same namespace as well.
export async function refusalKeepsTheConnection(t) {
  const m = t.manager();
  const other = m.socket("/news");
  const s = m.socket("/guarded", { auth: { token: "wrong" } });
  other.connect();
  s.connect();
  await Promise.all([t.connected(other), t.refused(s)]);
  s.auth = { token: "open sesame" };
  s.connect();
  await t.connected(s);
  assert.equal(await t.request(s, "echo", 1), 1);
  assert.equal(await t.request(other, "echo", 2), 2);
}

// The auth service refuses, and lets in.
export async function refusalOfTheAuthServiceReachesTheClient(t) {
  const err = await t.refused(t.socket("/members", { auth: { token: "wrong" } }));
  assert.ok(err.message.length > 0);
  const none = await t.refused(t.socket("/members"));
  assert.ok(none.message.length > 0);
}

export async function authServiceLetsIn(t) {
  const s = await t.connect("/members", { auth: { token: "letmein" } });
  assert.equal(await t.request(s, "echo", "in"), "in");
  const data = await t.request(s, "data");
  assert.equal(data.user, "ann");
}

// NSP-005: refused by name, and the connection stays open.
export async function unknownNamespace(t) {
  const m = t.manager();
  const s = m.socket(`/nobody-serves-${t.tag}`);
  const known = m.socket("/");
  s.connect();
  const err = await t.refused(s);
  assert.equal(err.message, "Invalid namespace");
  known.connect();
  await t.connected(known);
  assert.equal(await t.request(known, "echo", 1), 1);
}

// SOC-015, SOC-016, SOC-018.
export async function handshakeFields(t) {
  const s = await t.connect("/", {
    query: { room: "a b", sign: "&=+%/é", empty: "" },
    auth: { token: "t", nested: { a: [1, "ü"] } },
    extraHeaders: { "X-Scenario": t.tag },
  });
  const h = await t.request(s, "handshake");
  assert.deepEqual(h.auth, { token: "t", nested: { a: [1, "ü"] } });
  assert.equal(h.query.room, "a b");
  assert.equal(h.query.sign, "&=+%/é");
  assert.equal(h.query.empty, "");
  assert.equal(h.query.EIO, "4");
  assert.equal(h.query.transport, t.transports[0]);
  assert.equal(h.headers["x-scenario"], t.tag);
  assert.ok(h.headers.host.length > 0);
  assert.equal(h.secure, false);
  assert.equal(h.xdomain, false);
  assert.match(h.url, /^\/socket\.io\/\?/);
  assert.ok(h.address.length > 0);
  assert.ok(Math.abs(h.issued - Date.now()) < 60_000, `issued ${h.issued}`);
  assert.ok(Math.abs(Date.parse(h.time) - h.issued) < 2_000, `time ${h.time}, issued ${h.issued}`);
}

export async function authAsFunction(t) {
  const s = t.socket("/custom", { auth: (done) => done({ asked: true }) });
  assert.deepEqual(await t.event(s, "auth"), [{ asked: true }]); // CLI-004
}

export async function authAbsent(t) {
  const s = t.socket("/custom");
  assert.deepEqual(await t.event(s, "auth"), [{}]);
}

// SOC-013: the id a client has is the server's, and not that of its connection.
export async function socketId(t) {
  const s = await t.connect();
  assert.deepEqual(await t.request(s, "rooms"), [s.id]);
  assert.notEqual(s.id, s.io.engine.id);
}

// MID-011: what a middleware emits comes before the connection is accepted, in order.
export async function emitInMiddleware(t) {
  const s = t.socket("/early");
  const seen = [];
  s.onAny((name, n) => seen.push([name, n]));
  await t.event(s, "late");
  assert.deepEqual(seen, [["early", 1], ["early", 2], ["late", 3]]);
}

// A handler of OnConnection may wait for the client, and events sent meanwhile wait for it.
export async function acknowledgementAwaitedOnConnection(t) {
  const s = t.socket("/waiting");
  s.on("question", (q, ack) => ack(`${q} yes`));
  const answered = t.event(s, "answered");
  assert.deepEqual(await answered, ["ready? yes"]);
  assert.equal(await t.request(s, "after", "it"), "it");
}

// MID-006: a client that leaves while a middleware runs leaves nothing behind.
export async function joinInMiddlewareThenLeave(t) {
  const room = `lobby-${t.tag}`;
  const watcher = await t.connect();
  const told = record(watcher, "lobby");
  const n = (word) => told.flat().filter((w) => w === word).length;
  await t.request(watcher, "join", room);
  const stays = t.socket("/lobby", { auth: { room } });
  const leaves = t.socket("/lobby", { auth: { room } });
  await t.until("both middlewares run", () => n("entered"), (entered) => entered === 2);
  leaves.io.engine.close();
  await t.connected(stays);
  await t.until("both middlewares end", () => n("passed"), (passed) => passed === 2);
  await t.until("members of the room", () => t.request(watcher, "count", "/lobby", room), (n) => n === 1);
  stays.disconnect();
  await t.until("members of the room", () => t.request(watcher, "count", "/lobby", room), (n) => n === 0);
}

// NSP-006, NSP-007, NSP-015: one connection, two namespaces.
export async function twoNamespacesOnOneConnection(t) {
  const m = t.manager();
  const root = m.socket("/");
  const news = m.socket("/news");
  root.connect();
  news.connect();
  await Promise.all([t.connected(root), t.connected(news)]);
  assert.equal(root.io.engine.id, news.io.engine.id);
  assert.notEqual(root.id, news.id);

  const onRoot = record(root, "said");
  const room = `both-${t.tag}`;
  await Promise.all([t.request(root, "join", room), t.request(news, "join", room)]);
  const heard = t.event(news, "said");
  await t.request(news, "to", [room], [], "news only");
  assert.deepEqual(await heard, ["news only"]);
  assert.deepEqual(onRoot, []);

  news.disconnect();
  assert.equal(await t.request(root, "echo", "still here"), "still here");
  news.connect();
  await t.connected(news);
  assert.equal(await t.request(news, "echo", "again"), "again"); // CLI-002
}
