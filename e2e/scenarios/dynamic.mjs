// Namespaces that are made when a client asks for them.

import assert from "node:assert/strict";
import { record } from "../lib/context.mjs";

// NSP-018, MID-001: what a pattern finds; the parent's middlewares ran in order.
export async function byPattern(t) {
  const [a, b] = await Promise.all([0, 1].map((i) => t.connect(`/dynamic-${t.tag}-${i}`, {}, i)));
  assert.deepEqual((await t.request(a, "data")).passed, ["first", "second"]);
  const heard = record(b, "all");
  const all = t.event(a, "all");
  await t.request(a, "all", "of one child only");
  assert.deepEqual(await all, ["of one child only"]);
  await t.request(b, "all", "of the other");
  assert.deepEqual(heard, [["of the other"]]);
}

// MID-003, MID-010: a middleware of the parent refuses.
export async function refusedByTheParentsMiddlewares(t) {
  const namespace = `/dynamic-${t.tag}`;
  for (const by of ["first", "second"]) {
    const err = await t.refused(t.socket(namespace, { auth: { refuse: by } }));
    assert.equal(err.message, `refused by the ${by}`);
  }
  const s = await t.connect(namespace);
  assert.deepEqual(await t.request(s, "ids-of", { to: ["refused"] }), []);
}

// NSP-020, NSP-021, NSP-030: a function says which; its error and its no are the same to a client.
export async function byFunction(t) {
  const namespace = `/if-${t.tag}`;
  for (const may of [undefined, "go", "fail"]) {
    const err = await t.refused(t.socket(namespace, { auth: { may } }));
    assert.equal(err.message, "Invalid namespace");
  }
  const s = await t.connect(namespace, { auth: { may: "come" } });
  assert.equal(await t.request(s, "echo", s.nsp), namespace);
}

// NSP-022: many come at once, on all edges; all are in one namespace.
export async function manyAtOnce(t) {
  const namespace = `/dynamic-${t.tag}`;
  const clients = await Promise.all(Array.from({ length: 12 }, (_, i) => t.connect(namespace, {}, i)));
  const heard = Promise.all(clients.map((c) => t.event(c, "all")));
  await t.request(clients[0], "all", 1);
  assert.deepEqual(await heard, Array(12).fill([1]));
  assert.deepEqual(await t.request(clients[1], "ids-of", {}), clients.map((c) => c.id).sort());
}

// NSP-019: the parent reaches the sockets of all its children.
export async function throughTheParent(t) {
  const found = new Map(); // by instance: a client it has
  let clients;
  for (let i = 0; !clients; i++) { // with more children than instances, one instance has two
    const c = await t.connect(`/dynamic-${t.tag}-${i}`, {}, i);
    const instance = await t.request(c, "whoami");
    if (found.has(instance)) clients = [found.get(instance), c];
    found.set(instance, c);
  }
  await Promise.all(clients.map((c) => t.request(c, "join", `parent-${t.tag}`)));
  const heard = Promise.all(clients.map((c) => t.event(c, "said")));
  await t.request(clients[0], "emit-to", { parent: true, to: [`parent-${t.tag}`] }, "said", "to all children", Buffer.from([1]));
  assert.deepEqual(await heard, Array(2).fill(["to all children", Buffer.from([1])]));
  for (const c of clients) c.on("question", (q, ack) => ack(c.nsp));
  const { replies, error } = await t.request(clients[1], "ask-to", { parent: true, to: [`parent-${t.tag}`] }, "which?");
  assert.equal(error, "");
  assert.deepEqual(replies, Object.fromEntries(clients.map((c) => [c.id, c.nsp])));
}

// NSP-027: the last has gone, and another comes.
export async function emptyAndAgain(t) {
  const namespace = `/dynamic-${t.tag}`;
  const first = await t.connect(namespace);
  await t.request(first, "join", "room");
  first.disconnect();
  const s = await t.connect(namespace, {}, 1);
  await t.until("the first gone", () => t.request(s, "ids-of", {}), (ids) => ids.length === 1);
  assert.deepEqual(await t.request(s, "ids-of", { to: ["room"] }), []);
  assert.equal(await t.request(s, "echo", "again"), "again");
}
