// What instances of an application tell one another, as far as a client can see it.

import assert from "node:assert/strict";
import { record } from "../lib/context.mjs";

// CLU-018, CLU-019, CLU-022: all others, each once, and not the sender.
export async function serverSideEvents(t) {
  const clients = await Promise.all([0, 1, 2].map((i) => t.connect("/between", {}, i)));
  const room = `told-${t.tag}`;
  for (const [i, s] of clients.entries()) {
    await t.request(s, "join", room);
    const me = await t.request(s, "whoami");
    const others = await t.request(s, "who");
    assert.ok(!others.includes(me) && new Set(others).size === others.length, `${me} was answered by ${others}`);
    const told = record(s, "told");
    await t.request(s, "tell", room, i, Buffer.from([i]));
    await t.until("as many tell", () => told.length, (n) => n === others.length);
    assert.deepEqual(told.map(([by]) => by).sort(), others.sort());
    for (const [, ...args] of told) assert.deepEqual(args, [i, Buffer.from([i])]);
  }
}

// ADP-003: each instance hears the same of a room, whoever has its sockets.
export async function roomEvents(t) {
  const clients = await Promise.all([0, 1, 2].map((i) => t.connect("/between", {}, i)));
  const [a, b] = clients;
  const room = `heard-${t.tag}`;
  const ids = [a.id, b.id];
  await t.request(a, "join", room);
  await t.request(b, "join", [room, room]);
  await t.request(a, "leave", room);
  b.io.engine.close();
  const want = ["create", `join ${ids[0]}`, `join ${ids[1]}`, `leave ${ids[0]}`, `leave ${ids[1]}`, "delete"];
  for (const s of [a, clients[2]]) {
    await t.until("all of it heard", () => t.request(s, "heard", room), (heard) => heard.length >= want.length);
    const heard = await t.request(s, "heard", room);
    assert.deepEqual(heard.filter((e) => !e.endsWith(ids[1])), want.filter((e) => !e.endsWith(ids[1])));
    assert.deepEqual([...heard].sort(), [...want].sort());
  }
}
