// What an application does with one socket, as far as its client sees it.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { record } from "../lib/context.mjs";

const trace = (t, s) => t.request(s, "trace");

// SOC-031, SOC-032, SOC-033: what a listener sees, and what a middleware changes or stops.
export async function listenersAndMiddlewares(t) {
  const s = await t.connect("/spied");
  const heard = t.event(s, "heard");
  assert.equal(await t.request(s, "said", 1, Buffer.from([2])), "said");
  assert.deepEqual(await heard, [1, Buffer.from([2])]);
  assert.deepEqual(await trace(t, s), ["first said", "any said", "second middleware said", "handler said", "first out heard", "out heard"]); // SOC-034, SOC-035

  s.emit("refused", 1);
  const more = (await trace(t, s)).slice(6);
  assert.deepEqual(more.slice(0, 2), ["first refused", "any refused"]);
  assert.match(more[2], /^error .*a packet middleware refuses/);
  assert.equal(more.length, 3);

  const again = t.event(s, "heard");
  assert.equal(await t.request(s, "renamed", "x", Buffer.from([3])), "said");
  assert.deepEqual(await again, ["renamed", "x", Buffer.from([3])]);
  s.emit("nobody listens");
  const rest = (await trace(t, s)).slice(9);
  assert.deepEqual(rest, ["first renamed", "any renamed", "second middleware said", "handler said", "first out heard", "out heard", "first nobody listens", "any nobody listens", "second middleware nobody listens"]);
}

// SOC-034: broadcasts pass the listeners of each socket they reach, with binary.
export async function listenersOfBroadcasts(t) {
  const clients = await Promise.all([0, 1, 2].map((i) => t.connect("/spied", {}, i)));
  const all = Promise.all(clients.map((s) => t.event(s, "all")));
  clients[0].emit("say", Buffer.from([0xab]));
  assert.deepEqual(await all, Array(3).fill([Buffer.from([0xab])]));
  for (const s of clients) {
    await t.until("the broadcast seen", () => trace(t, s), (seen) => seen.slice(-2).join() === "first out all ab,out all ab");
  }
  assert.equal(await t.request(clients[1], "not any"), 0);
  const before = await trace(t, clients[1]);
  clients[0].emit("say", Buffer.from([1]));
  await t.event(clients[1], "all");
  clients[1].emit("said");
  assert.deepEqual(await trace(t, clients[1]), [...before, "second middleware said", "handler said"]);
}

// Catch-all listeners of the client see what the server says, and packets of the client.
export async function listenersOfTheClient(t) {
  const s = t.socket();
  await t.event(s, "hello");
  const seen = [];
  s.onAny((name, ...args) => seen.push(["in", name, args]));
  s.onAnyOutgoing((name, ...args) => seen.push(["out", name, args.slice(0, 1)]));
  const back = t.event(s, "back");
  s.emit("back", 7);
  await back;
  assert.deepEqual(seen, [["out", "back", [7]], ["in", "back", [7]]]);
}

export async function onceAndOff(t) {
  const s = await t.connect();
  assert.equal(await t.request(s, "once", "first"), "first");
  const names = await t.request(s, "names");
  assert.ok(names.includes("echo") && !names.includes("once"), String(names));
  await t.request(s, "stop", "echo");
  for (const event of ["once", "echo"]) {
    await assert.rejects(s.timeout(100).emitWithAck(event, "again"), /timed out/); // an event without a handler is dropped
  }
  assert.ok(!(await t.request(s, "names")).includes("echo"));
}

// SOC-008; and an event may be answered after its handler has returned, in any order.
export async function acknowledgements(t) {
  const s = await t.connect();
  const answers = [];
  s.emit("twice", (a) => answers.push(a));
  const first = t.request(s, "late");
  assert.equal(await t.request(s, "late"), "second");
  assert.equal(await first, "first");
  assert.deepEqual(answers, ["once"]);
}

// SOC-038, SOC-039, SOC-040: the client's own deadlines.
export async function timeoutsOfTheClient(t) {
  const s = await t.connect();
  const [err, none] = await new Promise((resolve) => s.timeout(50).emit("tick", 1, (...all) => resolve(all)));
  assert.match(err.message, /timed out/);
  assert.equal(none, undefined);
  assert.deepEqual(await new Promise((resolve) => s.timeout(60_000).emit("echo", "in time", (...all) => resolve(all))), [null, "in time"]);
  assert.equal(await s.timeout(60_000).emitWithAck("echo", 2), 2);
}

// Packets that a client gives up if it is not connected.
export async function volatileOfTheClient(t) {
  const s = t.socket();
  s.volatile.emit("back", "dropped");
  s.emit("back", "kept");
  const back = record(s, "back");
  await t.connected(s);
  assert.equal(await t.request(s, "echo", 1), 1);
  assert.deepEqual(back, [["kept"]]);
}

// SOC-036: the same arrives, compressed or not.
export async function notCompressed(t) {
  const s = await t.connect();
  const args = ["x".repeat(50_000), randomBytes(5000), { n: 1 }];
  const said = t.event(s, "plainly");
  s.compress(false).emit("plain", "plainly", ...args);
  assert.deepEqual(await said, args);
}

// SOC-017, SOC-014.
export async function connectionOfASocket(t) {
  const s = t.socket("/", { transports: ["polling", "websocket"], upgrade: true });
  const upgraded = t.event(s.io.engine, "upgrade");
  await t.connected(s);
  await upgraded;
  const ask = () => new Promise((resolve) => s.emit("conn", (...all) => resolve(all)));
  const [then, now, user, recovered, connected] = await t.until("the upgrade is known", ask, ([, c]) => c.Upgraded);
  assert.deepEqual([now.Transport, now.Protocol, user, recovered, connected], ["websocket", 4, "", false, true]);
  assert.equal(then.Protocol, 4);
  assert.ok(then.Edge && then.Edge.length > 0);
  assert.ok(!s.recovered);
}
connectionOfASocket.once = true;

export async function userOfASocket(t) {
  const s = await t.connect("/members", { auth: { token: "other" } });
  const [, now, user] = await new Promise((resolve) => s.emit("conn", (...all) => resolve(all)));
  assert.deepEqual([now.Transport, now.Upgraded, user], [t.transports[0], false, "bob *"]);
}

// SOC-030: a handler that fails or panics ends alone.
export async function failingHandlers(t) {
  const s = await t.connect();
  for (const event of ["fails", "panics"]) {
    s.emit(event);
    assert.equal(await t.request(s, "echo", event), event);
  }
}

// A handler with types answers, and says why it cannot.
export async function handlerWithTypes(t) {
  const s = await t.connect();
  assert.deepEqual(await t.request(s, "add", { A: 2, B: 40 }), { sum: 42 });
  assert.deepEqual(await t.request(s, "add", { A: -1 }), { error: "-1 is below zero" });
  for (const args of [[], ["text"], [{ A: "2" }]]) {
    const answer = await t.request(s, "add", ...args);
    assert.ok(typeof answer.error === "string" && answer.error.length > 0, JSON.stringify(answer));
  }
}

// SOC-012: several megabytes, both ways, three times.
export async function largeBothWays(t) {
  const s = await t.connect();
  for (let i = 0; i < 3; i++) {
    const args = [{ text: "é".repeat(700_000), list: Array.from({ length: 20_000 }, (_, n) => ({ n })) }, randomBytes(1_500_000)];
    const back = t.event(s, "back");
    s.emit("back", ...args);
    assert.deepEqual(await back, args);
  }
}
largeBothWays.deadline = 60_000;
