// Who ends a connection, and the reason each side gives for it.

import assert from "node:assert/strict";
import { Agent } from "node:http";
import { cut } from "../lib/context.mjs";

// A client that is told of every socket that goes, on another edge where there is one.
async function watcher(t) {
  const w = await t.connect("/", {}, 1);
  await t.request(w, "join", "watchers");
  return (id) => t.event(w, "gone", (g) => g.id === id);
}

// SOC-024: the namespace alone goes.
export async function serverDisconnectsTheSocket(t) {
  const gone = await watcher(t);
  const m = t.manager();
  const [s, other] = [m.socket("/"), m.socket("/news")];
  s.connect();
  other.connect();
  await Promise.all([t.connected(s), t.connected(other)]);
  const seen = gone(s.id);
  const reason = t.event(s, "disconnect");
  s.emit("kick", false);
  assert.equal((await reason)[0], "io server disconnect");
  assert.equal((await seen)[0].reason, "server namespace disconnect");
  assert.equal(await t.request(other, "echo", 1), 1);
}

// SOC-025: all namespaces go, then the connection.
export async function serverClosesTheConnection(t) {
  const gone = await watcher(t);
  const m = t.manager();
  const [s, other] = [m.socket("/"), m.socket("/news")];
  s.connect();
  other.connect();
  await Promise.all([t.connected(s), t.connected(other)]);
  const seen = [gone(s.id), gone(other.id)];
  const reasons = [t.event(s, "disconnect"), t.event(other, "disconnect")];
  s.emit("kick", true);
  for (const r of reasons) assert.equal((await r)[0], "io server disconnect");
  for (const g of seen) assert.equal((await g)[0].reason, "server namespace disconnect");
  await t.until("the end of the connection", () => m.engine.readyState, (state) => state === "closed");
}

// SOC-026, SOC-023: the rooms of a socket are still known while it goes.
export async function clientDisconnects(t) {
  const gone = await watcher(t);
  const s = await t.connect();
  const room = `leaving-${t.tag}`;
  await t.request(s, "join", room);
  const id = s.id;
  const seen = gone(id);
  const reason = t.event(s, "disconnect");
  s.disconnect();
  assert.equal((await reason)[0], "io client disconnect");
  const [g] = await seen;
  assert.equal(g.reason, "client namespace disconnect");
  assert.deepEqual(g.rooms, [id, room].sort());
}

// SOC-027, NSP-008.
export async function clientClosesTheConnection(t) {
  const gone = await watcher(t);
  const m = t.manager();
  const [s, other] = [m.socket("/"), m.socket("/news")];
  s.connect();
  other.connect();
  await Promise.all([t.connected(s), t.connected(other)]);
  const seen = [gone(s.id), gone(other.id)];
  m.engine.close();
  for (const g of seen) assert.equal((await g)[0].reason, "transport close");
}

export async function connectionBreaks(t) {
  const gone = await watcher(t);
  // With a connection that was used before, the client's HTTP library would try again, and hang.
  const s = await t.connect("/", { agent: new Agent({ keepAlive: false }) });
  const seen = gone(s.id);
  const reason = t.event(s, "disconnect");
  await cut(t, s);
  const [why, [g]] = [(await reason)[0], await seen];
  if (t.transports[0] === "websocket") assert.deepEqual([why, g.reason], ["transport close", "transport close"]);
  else {
    assert.equal(why, "transport error");
    // The client's last POST ("close") and the end of its GET race to the server.
    assert.ok(["transport close", "transport error"].includes(g.reason), g.reason);
  }
}

// SOC-048: the same client comes and goes by its own will.
export async function clientConnectsAgain(t) {
  const s = await t.connect();
  let connects = 0;
  s.on("connect", () => connects++);
  for (let i = 1; i <= 3; i++) {
    s.disconnect();
    s.connect();
    await t.connected(s);
    assert.equal(await t.request(s, "echo", i), i);
    assert.equal(connects, i);
  }
}
