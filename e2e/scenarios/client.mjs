// What the stock Socket.IO client does by itself: it comes back or stays away, and has several namespaces on one connection.

import assert from "node:assert/strict";
import { record } from "../lib/context.mjs";

// Reconnection is on unless it is turned off; it is only faster here.
const byDefault = { reconnection: undefined, reconnectionDelay: 20, reconnectionDelayMax: 50 };

// haveItClosed sends what is no packet of Socket.IO, so that the server closes the connection.
const haveItClosed = (s) => s.io.engine.write("?");

async function comesBack(t, s) {
  const { id } = s;
  const all = Promise.all([t.event(s, "disconnect"), t.event(s.io, "reconnect"), t.event(s, "connect")]);
  haveItClosed(s);
  const [[reason]] = await all;
  assert.ok(["transport close", "transport error"].includes(reason), reason);
  assert.notEqual(s.id, id);
  assert.equal(await t.request(s, "echo", "back"), "back");
  assert.deepEqual(await t.request(s, "rooms"), [s.id]);
}

export async function comesBackByItself(t) {
  const s = await t.connect("/", byDefault);
  await comesBack(t, s); // CLI-001
  s.disconnect();
  s.connect();
  await t.connected(s);
  assert.equal(await t.request(s, "echo", "by hand"), "by hand");
  await comesBack(t, s); // CLI-001: after it was told to reconnect, too
}
comesBackByItself.parser = "json";

export async function namespacesComeAndGo(t) {
  const m = t.manager();
  const [root, news] = [m.socket("/"), m.socket("/news")];
  root.connect();
  await t.connected(root);
  const connection = m.engine.id;
  const lost = record(root, "disconnect");
  const ids = new Set();
  for (let i = 0; i < 3; i++) {
    news.connect();
    await t.connected(news);
    ids.add(news.id);
    assert.equal(await t.request(news, "echo", i), i); // CLI-002
    news.disconnect();
    assert.equal(await t.request(root, "echo", i), i); // CLI-003
  }
  assert.equal(ids.size, 3);
  assert.equal(m.engine.id, connection);
  assert.deepEqual(lost, []);

  news.connect();
  await t.connected(news);
  root.disconnect();
  assert.equal(await t.request(news, "echo", "alone"), "alone"); // CLI-003: whichever it is
  assert.equal(m.engine.id, connection);
  const closed = t.event(m.engine, "close");
  news.disconnect();
  await closed;
  root.connect();
  await t.connected(root);
  assert.equal(await t.request(root, "echo", "anew"), "anew"); // CLI-002: on a manager whose connection was closed
  assert.notEqual(m.engine.id, connection);
}

export async function authIsTheHandshakes(t) {
  const object = await t.connect("/", { auth: { token: "ä", nested: { list: [1, null] } } });
  assert.deepEqual((await t.request(object, "handshake")).auth, { token: "ä", nested: { list: [1, null] } }); // CLI-004

  let asked = 0;
  const s = await t.connect("/", { ...byDefault, auth: (done) => setTimeout(done, 1, { asked: ++asked }) });
  assert.deepEqual((await t.request(s, "handshake")).auth, { asked: 1 }); // CLI-004
  const again = t.event(s, "connect");
  haveItClosed(s);
  await again;
  assert.deepEqual((await t.request(s, "handshake")).auth, { asked: 2 });
}

export async function refusedStaysAway(t) {
  const m = t.manager(byDefault);
  let asked = 0;
  const s = m.socket("/guarded", { auth: (done) => done({ token: "wrong", asked: ++asked }) });
  const other = m.socket("/");
  const errors = record(s, "connect_error");
  other.connect();
  s.connect();
  await Promise.all([t.connected(other), t.refused(s)]);
  assert.equal(errors[0][0].message, "not authorized"); // CLI-005
  assert.equal(s.active, false);

  const again = t.event(other, "connect");
  haveItClosed(other); // what is active asks to join anew behind it
  await again;
  assert.equal(await t.request(other, "echo", 1), 1);
  assert.deepEqual([asked, errors.length, s.connected], [1, 1, false]); // CLI-005

  s.connect();
  await t.refused(s);
  assert.deepEqual([asked, errors.length], [2, 2]);
}
refusedStaysAway.parser = "json";

// Dates are strings, whoever sends them and wherever they are.
export async function datesAreStrings(t) {
  const s = await t.connect();
  const date = new Date("2026-02-03T04:05:06.789Z");
  const event = t.event(s, "date");
  const answer = await new Promise((resolve) => s.emit("date", date, (...args) => resolve(args)));
  for (const [at, object] of [await event, answer]) {
    assert.deepEqual([at, object.at], [date.toISOString(), date.toISOString()]); // CLI-014
  }
  assert.deepEqual(await t.request(s, "echo", { date }), { date: date.toISOString() }); // CLI-014
}
datesAreStrings.parser = "json";
