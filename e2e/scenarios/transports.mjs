// How a client comes in: each transport alone, and the way from one to the other.

import assert from "node:assert/strict";
import { record, sleep } from "../lib/context.mjs";

export async function pollingOnly(t) {
  const s = await t.connect("/", { transports: ["polling"] });
  assert.deepEqual(await t.request(s, "echo", "über", { a: [1, null] }), "über");
  assert.equal(s.io.engine.transport.name, "polling");
}
pollingOnly.once = true;

export async function websocketOnly(t) {
  const s = await t.connect("/", { transports: ["websocket"] });
  assert.deepEqual(await t.request(s, "echo", "über"), "über");
  assert.equal(s.io.engine.transport.name, "websocket");
}
websocketOnly.once = true;

// Nothing sent while a connection changes its transport is lost, repeated or reordered.
export async function upgrade(t) {
  const s = t.socket("/", { transports: ["polling", "websocket"], upgrade: true });
  const ticks = record(s, "tick");
  let upgraded = false;
  const done = t.event(s.io.engine, "upgrade").then(() => (upgraded = true));
  await t.connected(s);
  let sent = 0;
  do {
    for (let i = 0; i < 5; i++) s.emit("tick", sent++);
    await sleep(1);
  } while (!upgraded);
  await done;
  for (let i = 0; i < 20; i++) s.emit("tick", sent++);
  assert.equal(await t.request(s, "echo", "end"), "end");
  assert.equal(s.io.engine.transport.name, "websocket");
  assert.deepEqual(ticks.flat(), Array.from({ length: sent }, (_, i) => i));
}
upgrade.once = true;

// A client on each transport and one that upgraded all get a broadcast (BRO-020).
export async function broadcastToEveryTransport(t) {
  const room = `transports-${t.tag}`;
  const clients = await Promise.all([
    t.connect("/", { transports: ["polling"] }, 0),
    t.connect("/", { transports: ["websocket"] }, 1),
    t.connect("/", { transports: ["polling", "websocket"], upgrade: true }, 0),
  ]);
  await Promise.all(clients.map((c) => t.request(c, "join", room)));
  const heard = Promise.all(clients.map((c) => t.event(c, "said")));
  await t.request(clients[0], "to", [room], [], "all of you");
  assert.deepEqual(await heard, [["all of you"], ["all of you"], ["all of you"]]);
}
broadcastToEveryTransport.once = true;

export async function reconnectsAfterTransportLoss(t) {
  const s = await t.connect("/", { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 });
  const first = s.id;
  await t.request(s, "join", `lost-${t.tag}`);
  const again = t.event(s, "connect");
  s.io.engine.close();
  await again;
  assert.notEqual(s.id, first); // SOC-014
  assert.equal(await t.request(s, "echo", "back"), "back");
  assert.deepEqual(await t.request(s, "rooms"), [s.id]);
}

// A packet over the limit the handshake told closes the connection; nobody else notices.
export async function oversizePacketClosesTheConnection(t) {
  const other = await t.connect();
  const s = t.socket();
  const [{ maxPayload }] = await t.event(s.io.engine, "handshake");
  await t.connected(s);
  const gone = t.event(s, "disconnect");
  s.emit("echo", "x".repeat(maxPayload + 1));
  const [reason] = await gone;
  assert.ok(["transport close", "transport error"].includes(reason), reason);
  assert.equal(await t.request(other, "echo", 1), 1);
}
oversizePacketClosesTheConnection.deadline = 60_000;
