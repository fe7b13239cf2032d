// What is done to many sockets at once, wherever they are; each scenario has a namespace of its own.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { record, sleep } from "../lib/context.mjs";

// Clients of a new namespace, on all edges, and what "said" tells each.
async function crowd(t, n = 5) {
  const namespace = `/dynamic-${t.tag}`;
  return Promise.all(Array.from({ length: n }, (_, i) => t.connect(namespace, { query: { number: i } }, i)));
}

// The numbers of the clients that an emit reaches: "end" to everybody comes after it.
async function reached(t, clients, emit, event = "said") {
  const seen = clients.map((c) => record(c, event));
  const end = Promise.all(clients.map((c) => t.event(c, "end")));
  await emit();
  await t.request(clients[0], "emit-to", {}, "end");
  await end;
  clients.forEach((c) => c.off(event));
  assert.ok(seen.every((s) => s.length <= 1), "nobody hears it twice");
  return seen.flatMap((s, i) => (s.length ? [i] : []));
}

export async function selections(t) {
  const clients = await crowd(t);
  const ids = clients.map((c) => c.id);
  const [a, b, c, d] = clients;
  await Promise.all([t.request(a, "join", ["x", "y"]), t.request(b, "join", "x"), t.request(c, "join", "y"), t.request(d, "join", "z")]);
  for (const [selection, want] of [
    [{}, [0, 1, 2, 3, 4]], // BRO-001
    [{ others: true }, [1, 2, 3, 4]], // BRO-003
    [{ to: ["x"] }, [0, 1]], // BRO-004
    [{ to: ["nobody"] }, []],
    [{ to: ["x", "y"] }, [0, 1, 2]], // BRO-005
    [{ to: ["x", ids[1], ids[4]] }, [0, 1, 4]],
    [{ others: true, to: ["x"] }, [1]], // BRO-006
    [{ except: ["x", ids[4]] }, [2, 3]], // BRO-007
    [{ others: true, except: ["y"] }, [1, 3, 4]],
    [{ to: ["x", "y"], except: ["y"] }, [1]], // BRO-008
    [{ to: ["x"], plain: true }, [0, 1]], // BRO-012
    [{ to: ["y"], others: true, plain: true }, [2]],
  ]) {
    const got = await reached(t, clients, () => t.request(a, "emit-to", selection, "said", Buffer.alloc(5000, 1), { n: 1 }));
    assert.deepEqual(got, want, JSON.stringify(selection));
    const found = await t.request(a, "ids-of", selection); // BRO-022, NSP-016
    assert.deepEqual(found, want.map((i) => ids[i]).sort(), JSON.stringify(selection));
    assert.equal(await t.request(a, "count-of", selection), want.length);
  }
}

// CLU-004, CLU-017: those of the sender's instance.
export async function local(t) {
  const clients = await crowd(t, 6);
  const instances = await Promise.all(clients.map((c) => t.request(c, "whoami")));
  for (const c of clients) {
    const mine = instances.flatMap((name, i) => (name === instances[clients.indexOf(c)] ? [i] : []));
    assert.deepEqual(await reached(t, clients, () => t.request(c, "emit-to", { local: true }, "said")), mine);
    assert.deepEqual(await t.request(c, "ids-of", { local: true }), mine.map((i) => clients[i].id).sort());
  }
}

// SOC-003: "message", in both directions and to many.
export async function send(t) {
  const clients = await crowd(t, 3);
  const [a] = clients;
  const alone = t.event(a, "message");
  a.send("x", null, Buffer.from([1]));
  assert.deepEqual(await alone, ["x", null, Buffer.from([1])]);
  const all = Promise.all(clients.map((c) => t.event(c, "message")));
  await t.request(a, "send-to", {}, null);
  assert.deepEqual(await all, [[null], [null], [null]]);
}

// BRO-010, SOC-044: a client that can take it gets what may be dropped, whole. One that polls may not have asked again when the
// server says it, so it is said until everybody has heard; then the next, which else could miss the same client each time.
export async function volatile(t) {
  const clients = await crowd(t, 3);
  for (const [event, say] of [
    ["said", (...args) => clients[0].emit("emit-to", { volatile: true }, "said", ...args)], // an answer would be in the way
    ["own", (...args) => clients.forEach((c) => c.emit("volatile", "own", ...args))],
  ]) {
    const seen = clients.map((c) => record(c, event));
    for (let i = 0; seen.some((list) => list.length === 0); i++) {
      say(i, Buffer.from([i]));
      await sleep(250);
    }
    for (const list of seen) {
      assert.deepEqual(list, list.map(([i]) => [i, Buffer.from([i])]));
      if (t.transports[0] === "websocket") assert.equal(list[0][0], 0);
    }
  }
}

// BRO-013, BRO-016, BRO-018, CLU-006: one reply of each, its first argument, with binary.
export async function everybodyAnswers(t) {
  const clients = await crowd(t);
  const bytes = randomBytes(1000);
  const replies = {};
  for (const [i, c] of clients.entries()) {
    replies[c.id] = { i, q: { in: [bytes] } };
    c.on("question", (q, ack) => ack({ i, q }, "dropped"));
  }
  assert.deepEqual(await t.request(clients[0], "ask-to", { timeout: 60_000 }, { in: [bytes] }), { replies, missing: null, error: "" });
  const { [clients[0].id]: own, ...others } = replies;
  assert.deepEqual(own.i, 0);
  assert.deepEqual((await t.request(clients[0], "ask-to", { others: true, timeout: 60_000 }, { in: [bytes] })).replies, others);
  assert.deepEqual(await t.request(clients[0], "ask-to", { to: ["nobody"] }, 1), { replies: {}, missing: null, error: "" });
}

// BRO-014, BRO-015, CLU-009: some are silent; what there is comes with the names of the missing.
export async function someAreSilent(t) {
  const clients = await crowd(t);
  for (const c of clients.slice(0, 3)) c.on("question", (q, ack) => ack());
  const { replies, missing, error } = await t.request(clients[0], "ask-to", { timeout: 5000 }, 1);
  assert.deepEqual(replies, Object.fromEntries(clients.slice(0, 3).map((c) => [c.id, null])));
  assert.deepEqual(missing, clients.slice(3).map((c) => c.id).sort());
  assert.match(error, /^operation has timed out/);
}

// CLU-008: who leaves is not waited for until the end.
export async function somebodyLeavesInsteadOfAnswering(t) {
  const clients = await crowd(t, 3);
  clients[0].on("question", (q, ack) => ack("here"));
  clients[1].on("question", () => clients[1].disconnect());
  clients[2].on("question", () => clients[2].io.engine.close());
  const ids = clients.map((c) => c.id);
  const { replies, missing } = await t.request(clients[0], "ask-to", { timeout: 60_000 }, 1);
  assert.deepEqual(replies, { [ids[0]]: "here" });
  assert.deepEqual(missing, ids.slice(1).sort());
}

// Replies are heard of as they come: nobody answers before the one before is known.
export async function repliesOneAfterTheOther(t) {
  const clients = await crowd(t, 4);
  const asked = Promise.all(clients.map((c) => t.event(c, "question")));
  const result = t.request(clients[0], "ask-each", { timeout: 60_000 }, "who?");
  for (const [i, [question, ack]] of (await asked).entries()) {
    const reply = t.event(clients[0], "reply");
    assert.equal(question, "who?");
    ack(i);
    assert.deepEqual(await reply, [clients[i].id, i]);
  }
  assert.deepEqual(await result, { replies: Object.fromEntries(clients.map((c, i) => [c.id, i])), missing: null, error: "" });
}

// BRO-024, BRO-025, CLU-011, CLU-012.
export async function socketsJoinAndLeave(t) {
  const clients = await crowd(t);
  const [a, b, c] = clients;
  await t.request(a, "sockets-join", {}, ["all", "some"]);
  await t.request(a, "sockets-leave", { to: [b.id, c.id] }, ["some", "never"]);
  assert.equal(await t.request(a, "count-of", { to: ["all"] }), 5);
  assert.equal(await t.request(a, "count-of", { to: ["some"] }), 3);
  assert.deepEqual(await reached(t, clients, () => t.request(a, "emit-to", { to: ["some"] }, "said")), [0, 3, 4]);
  await t.until("the owner hears", () => t.request(b, "rooms"), (rooms) => String(rooms) === String([b.id, "all"].sort()));
  await t.request(a, "sockets-leave", { except: [a.id] }, "all");
  assert.deepEqual(await t.request(a, "ids-of", { to: ["all"] }), [a.id]);
}

// BRO-026, CLU-013, CLU-014.
export async function disconnectMany(t) {
  const clients = await crowd(t);
  const others = clients.map((c) => c.io.socket("/news"));
  for (const s of others) s.connect();
  await Promise.all(others.map((s) => t.connected(s)));
  const [a, b, c, d, e] = clients;
  const reasons = (list) => Promise.all(list.map(async (s) => (await t.event(s, "disconnect"))[0]));
  let gone = reasons([b, c]);
  await t.request(a, "disconnect-sockets", { to: [b.id, c.id] }, false);
  assert.deepEqual(await gone, Array(2).fill("io server disconnect"));
  assert.equal(await t.request(others[1], "echo", 1), 1); // the connection stays
  gone = reasons([d, e, others[3], others[4]]);
  await t.request(a, "disconnect-sockets", { others: true }, true);
  assert.deepEqual(await gone, Array(4).fill("io server disconnect"));
  assert.deepEqual(await t.request(a, "ids-of", {}), [a.id]);
}

// BRO-022, BRO-023, CLU-015, CLU-016: what they are like, whoever has them.
export async function fetchSockets(t) {
  const clients = await crowd(t);
  for (const [i, c] of clients.entries()) {
    await t.request(c, "join", [`room ${i}`, "all"]);
    await t.request(c, "set", "number", { n: i });
    await t.request(c, "set", "gone", i);
    await t.request(c, "unset", "gone");
  }
  const want = clients.map((c, i) => ({ id: c.id, rooms: [c.id, "all", `room ${i}`].sort(), data: { number: { n: i }, passed: ["first", "second"] }, number: String(i) }));
  for (const asker of clients) {
    const found = await t.until("changes of other instances", () => t.request(asker, "fetch", {}), (all) => Object.values(all).every((s) => "number" in s.data && !("gone" in s.data) && s.rooms.length === 3));
    for (const { id, rooms, data, number } of want) {
      const s = found[id];
      assert.deepEqual({ rooms: s.rooms, data: s.data, number: s.query.number, namespace: s.namespace, user: s.user }, { rooms, data, number, namespace: asker.nsp, user: "" });
    }
    assert.equal(Object.keys(found).length, 5);
    assert.deepEqual(Object.keys(await t.request(asker, "fetch", { to: ["room 1", "room 3"] })).sort(), [clients[1].id, clients[3].id].sort());
  }
}

// BRO-027, CLU-010: what is done to each of the sockets that were fetched.
export async function remoteSockets(t) {
  const clients = await crowd(t, 4);
  const [a, b, c, d] = clients;
  for (const [i, s] of clients.slice(0, 3).entries()) s.on("question", (q, ack) => ack([q, i], "dropped"));
  const bytes = Buffer.from([9]);
  assert.deepEqual(await t.request(a, "ask-remote", {}, bytes), { [a.id]: [bytes, 0], [b.id]: [bytes, 1], [c.id]: [bytes, 2], [d.id]: "operation has timed out" });
  await t.request(a, "sockets-join", {}, "old");
  await t.request(a, "sockets-join", { to: [d.id] }, "ends");
  const moved = Promise.all([b, c, d].map((s) => Promise.all([t.event(s, "moved"), t.event(s, "message")])));
  const reason = t.event(d, "disconnect");
  await t.request(a, "do-remote", { others: true }, "new", "old");
  assert.deepEqual(await moved, Array(3).fill([["new"], ["moved", Buffer.from("old")]]));
  assert.equal((await reason)[0], "io server disconnect");
  assert.deepEqual(await t.request(a, "ids-of", { to: ["new"] }), [b.id, c.id].sort());
  assert.deepEqual(await t.request(a, "ids-of", { to: ["old"] }), [a.id]);
}

// Users are who the auth service says; a namespace of their own would be others' too, so the rest are left out by a room.
export async function users(t) {
  const come = (token, i) => t.connect("/members", { auth: { token } }, i);
  const clients = await Promise.all([come("letmein", 0), come("letmein", 1), come("other", 2), come("other", 0)]);
  const [a, b, c] = clients;
  assert.equal((await t.request(a, "fetch", { to: [c.id] }))[c.id].user, "bob *");
  for (const [selection, want] of [
    [{ users: ["ann"] }, [0, 1]],
    [{ users: ["bob *"] }, [2, 3]],
    [{ users: ["bob *"], to: [b.id] }, [1, 2, 3]],
    [{ users: ["ann", "bob *", "*", "nobody"], except: [a.id] }, [1, 2, 3]],
    [{ notUsers: ["bob *"] }, [0, 1]],
    [{ users: ["ann"], others: true }, [1]],
    [{ users: ["nobody"] }, []],
    [{ users: [""] }, []],
  ]) {
    const got = await reached(t, clients, () => t.request(a, "emit-to", selection, "said"));
    assert.deepEqual(got, want, JSON.stringify(selection));
    const found = await t.until("no sockets of clients that have gone", () => t.request(a, "ids-of", selection), (ids) => ids.length === want.length);
    assert.deepEqual(found, want.map((i) => clients[i].id).sort(), JSON.stringify(selection));
  }
}
