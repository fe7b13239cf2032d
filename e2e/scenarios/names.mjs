// Names of rooms, events and namespaces mean nothing but themselves.

import assert from "node:assert/strict";
import { record } from "../lib/context.mjs";

const rooms = ["*", ">", "a.>", "a.*", "a.b", "", " ", "a b", ".", "..", "$SYS", "/", "0", "__proto__", "é", "e\u0301", "部屋 🎉", "\n\t\u0000", '"\\', "x,y", "[]", "é".repeat(50_000)];

// Each is a room of its own: who is in one hears of no other.
export async function ofRooms(t) {
  const namespace = `/dynamic-${t.tag}`;
  const [a, b, watcher] = await Promise.all([0, 1, 2].map((i) => t.connect(namespace, {}, i)));
  await t.request(a, "join", rooms.filter((_, i) => i % 2 === 0));
  await t.request(b, "join", rooms.filter((_, i) => i % 2 === 1));
  const [fromA, fromB] = [record(a, "said"), record(b, "said")];
  for (const [i, room] of rooms.entries()) {
    await t.request(watcher, "to", [room], [], i);
    assert.deepEqual(await t.request(watcher, "ids-of", { to: [room] }), [(i % 2 ? b : a).id], JSON.stringify(room));
  }
  const end = Promise.all([a, b].map((s) => t.event(s, "end")));
  await t.request(watcher, "emit-to", {}, "end");
  await end;
  assert.deepEqual(fromA.flat(), rooms.map((_, i) => i).filter((i) => i % 2 === 0));
  assert.deepEqual(fromB.flat(), rooms.map((_, i) => i).filter((i) => i % 2 === 1));
  const except = rooms.filter((r) => r.length < 100);
  await t.request(watcher, "emit-to", { except }, "said", "but for them");
  await t.request(watcher, "emit-to", { to: except, except: ["*", ">"] }, "said", "in others");
  assert.deepEqual((await t.request(watcher, "fetch", { to: ["*"] }))[a.id].rooms.sort(), [a.id, ...rooms.filter((_, i) => i % 2 === 0)].sort());
  await t.request(a, "leave", rooms.filter((_, i) => i % 2 === 0));
  assert.deepEqual(await t.request(a, "rooms"), [a.id]);
  assert.equal(await t.request(watcher, "count-of", { to: rooms.filter((_, i) => i % 2 === 0) }), 0);
}

const events = ["a.b", "a.>", "*", ">", "", " ", "with space", "🎉 é 部屋", "e\u0301", "$SYS.x", '"quoted" \\ back', "\n\u0000", "toString", "__proto__", "constructor", "message", "error", "0", "null", "x".repeat(20_000), "é".repeat(50_000)];

// Both ways, with an acknowledgement, and to many.
export async function ofEvents(t) {
  const namespace = `/dynamic-odd-${t.tag}`;
  const [a, b] = await Promise.all([0, 1].map((i) => t.connect(namespace, {}, i)));
  const seen = [];
  a.onAny((name, ...args) => seen.push([name, ...args]));
  for (const [i, name] of events.entries()) {
    assert.equal(await t.request(a, name, i, Buffer.from([i])), name, JSON.stringify(name.slice(0, 50)));
    assert.deepEqual(seen.pop(), [name, i, Buffer.from([i])]);
  }
  const heard = new Map();
  a.onAny((name, ...args) => heard.set(name, args));
  for (const [i, name] of events.entries()) {
    b.emit("emit-to", { others: true }, name, i);
    await t.until(`"${name.slice(0, 50)}" heard`, () => heard.get(name), (args) => args?.length === 1 && args[0] === i);
  }
}

export async function ofNamespaces(t) {
  const m = t.manager();
  for (const [i, name] of ["a.b", "*", ">", "a.>", "with space", "é 部屋 🎉", "/a//b/", "?a=b&c", "__proto__", "x".repeat(300)].entries()) {
    const s = m.socket(`/dynamic-${t.tag} ${name}`);
    s.connect();
    await t.connected(s);
    assert.equal(await t.request(s, "echo", i), i, name);
    assert.deepEqual(await t.request(s, "ids-of", {}), [s.id]);
    const all = t.event(s, "all");
    s.emit("all", name);
    assert.deepEqual(await all, [name]);
  }
}
