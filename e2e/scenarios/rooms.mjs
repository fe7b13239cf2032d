// Rooms and broadcasts; clients are on different edges where there are several.

import assert from "node:assert/strict";
import { record } from "../lib/context.mjs";

// What was said in the room before "end" is all that a client got of it.
async function saidTo(t, clients, broadcast) {
  const seen = clients.map((c) => record(c, "said"));
  await broadcast();
  await Promise.all(clients.map(async (c) => {
    const end = t.event(c, "said", (p) => p === `end-${c.id}`);
    await t.request(c, "to", [c.id], [], `end-${c.id}`);
    await end;
  }));
  return seen.map((s) => s.map(([p]) => p).filter((p) => !String(p).startsWith("end-")));
}

async function three(t, namespace = "/") {
  return Promise.all([0, 1, 2].map((i) => t.connect(namespace, {}, i)));
}

// BRO-004.
export async function roomAcrossEdges(t) {
  const [a, b, c] = await three(t);
  const room = `room-${t.tag}`;
  await t.request(a, "join", room);
  await t.request(b, "join", room);
  const seen = await saidTo(t, [a, b, c], () => t.request(c, "to", [room], [], "hello"));
  assert.deepEqual(seen, [["hello"], ["hello"], []]);
}

// BRO-001, BRO-003.
export async function everybodyAndEverybodyElse(t) {
  const [a, b, c] = await three(t, "/news");
  const seen = [a, b, c].map((s) => record(s, "all"));
  const mine = (list) => list.map(([p]) => p).filter((p) => p.tag === t.tag).map((p) => p.n);
  const last = Promise.all([a, b, c].map((s) => t.event(s, "all", (p) => p.tag === t.tag && p.n === 2)));
  await t.request(a, "others", { tag: t.tag, n: 1 });
  await t.request(a, "all", { tag: t.tag, n: 2 });
  await last;
  assert.deepEqual(seen.map(mine), [[2], [1, 2], [1, 2]]);
}

// BRO-002.
export async function binaryBroadcast(t) {
  const [a, b, c] = await three(t);
  const room = `binary-${t.tag}`;
  await Promise.all([a, b].map((s) => t.request(s, "join", room)));
  const heard = Promise.all([a, b].map((s) => t.event(s, "said")));
  const payload = { parts: [Buffer.from([1, 2, 3]), Buffer.alloc(100_000, 5)] };
  await t.request(c, "to", [room], [], payload);
  assert.deepEqual(await heard, [[payload], [payload]]);
}

// BRO-005: in two of the rooms, told once.
export async function unionOfRooms(t) {
  const [a, b, c] = await three(t);
  const [x, y] = [`x-${t.tag}`, `y-${t.tag}`];
  await t.request(a, "join", [x, y]);
  await t.request(b, "join", y);
  const seen = await saidTo(t, [a, b, c], () => t.request(c, "to", [x, y], [], "once"));
  assert.deepEqual(seen, [["once"], ["once"], []]);
}

// BRO-006.
export async function toARoomExceptTheSender(t) {
  const [a, b, c] = await three(t);
  const room = `others-${t.tag}`;
  await Promise.all([a, b, c].map((s) => t.request(s, "join", room)));
  const seen = await saidTo(t, [a, b, c], () => t.request(b, "to-others", [room], "not to me"));
  assert.deepEqual(seen, [["not to me"], [], ["not to me"]]);
}

// BRO-007, BRO-008: except wins, by room and by socket id.
export async function except(t) {
  const [a, b, c] = await three(t);
  const [room, muted] = [`in-${t.tag}`, `muted-${t.tag}`];
  await Promise.all([a, b, c].map((s) => t.request(s, "join", room)));
  await t.request(b, "join", muted);
  const seen = await saidTo(t, [a, b, c], async () => {
    await t.request(a, "to", [room], [muted], 1);
    await t.request(a, "to", [room], [muted, c.id], 2);
    await t.request(a, "to", [room, b.id], [b.id], 3);
  });
  assert.deepEqual(seen, [[1, 2, 3], [], [1, 3]]);
}

// SOC-020, SOC-021.
export async function joinAndLeave(t) {
  const [a, b] = await three(t);
  const rooms = ["ж", "with space", "a.b*>", `r-${t.tag}`];
  await t.request(a, "join", rooms);
  assert.deepEqual(await t.request(a, "rooms"), [a.id, ...rooms].sort());
  assert.equal(await t.request(b, "count", "/", `r-${t.tag}`), 1);
  await t.request(a, "leave", `r-${t.tag}`);
  await t.request(a, "leave", "never joined");
  assert.deepEqual(await t.request(a, "rooms"), [a.id, ...rooms.slice(0, 3)].sort());
  const seen = await saidTo(t, [a], () => t.request(b, "to", [`r-${t.tag}`], [], "nobody"));
  assert.deepEqual(seen, [[]]);
  assert.equal(await t.request(b, "count", "/", `r-${t.tag}`), 0);
}

// A broadcast made in a handler reaches the caller before that handler's acknowledgement.
export async function broadcastBeforeAcknowledgement(t) {
  const clients = await three(t, "/news");
  for (const s of clients) {
    const seen = [];
    s.on("all", (p) => p.by === s.id && seen.push(p.n));
    for (let n = 0; n < 30; n++) {
      await new Promise((resolve) => s.emit("all", { by: s.id, n }, () => resolve(seen.push("ack"))));
    }
    assert.deepEqual(seen, Array.from({ length: 30 }, (_, n) => [n, "ack"]).flat());
  }
}

// Read your writes: a socket is in the room it has just joined.
export async function joinThenBroadcastIncludesTheJoiner(t) {
  const clients = await three(t);
  for (const s of clients) {
    const seen = record(s, "said");
    await Promise.all(Array.from({ length: 200 }, (_, i) => t.request(s, "join-and-tell", `jt-${t.tag}-${s.id}-${i}`, i)));
    assert.deepEqual(seen.flat(), Array.from({ length: 200 }, (_, i) => i));
  }
}
joinThenBroadcastIncludesTheJoiner.deadline = 60_000;

// All clients of a namespace see the broadcasts of all senders in one order.
export async function oneOrderForAll(t) {
  const clients = await three(t);
  const room = `order-${t.tag}`;
  await Promise.all(clients.map((s) => t.request(s, "join", room)));
  const seen = clients.map((s) => record(s, "said"));
  await Promise.all(clients.flatMap((s, k) => Array.from({ length: 50 }, (_, i) => t.request(s, "to", [room], [], `${k}-${i}`))));
  await t.until("150 messages at each", () => seen.map((l) => l.length), (n) => n.every((x) => x === 150));
  assert.deepEqual(seen[1], seen[0]);
  assert.deepEqual(seen[2], seen[0]);
  for (let k = 0; k < 3; k++) {
    assert.deepEqual(seen[0].flat().filter((p) => p.startsWith(`${k}-`)), Array.from({ length: 50 }, (_, i) => `${k}-${i}`));
  }
}
oneOrderForAll.deadline = 60_000;

// A query is answered after what its sender did before, and follows disconnections.
export async function countFollowsTheClients(t) {
  const [a, b, c] = await three(t);
  const room = `count-${t.tag}`;
  for (const [n, s] of [a, b, c].entries()) {
    await t.request(s, "join", room);
    assert.equal(await t.request(s, "count", "/", room), n + 1);
  }
  b.disconnect();
  await t.until("members", () => t.request(a, "count", "/", room), (n) => n === 2);
  c.io.engine.close();
  await t.until("members", () => t.request(a, "count", "/", room), (n) => n === 1);
}
