// Events and acknowledgements both ways: values, binary, order, size.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";

const plain = [0, -1.5, "", "text", true, false, null, [], {}, [[1, [2, { a: null }]]], { "": { "a b": ["c"] } }];
const valuesFor = (t) => (t.parser === "msgpack" ? plain : [...plain, 1e21]); // which notepack.io writes as 3875820019684212736

// SOC-001.
export async function valuesArriveIntact(t) {
  const s = await t.connect();
  const values = valuesFor(t);
  const back = t.event(s, "back");
  s.emit("back", ...values);
  assert.deepEqual(await back, values);
}

// SOC-005, SOC-009: an acknowledgement carries any number of arguments.
export async function acknowledgementArguments(t) {
  const s = await t.connect();
  const values = valuesFor(t);
  const answer = (...args) => new Promise((resolve) => s.emit("echo", ...args, (...got) => resolve(got)));
  assert.deepEqual(await answer(), []);
  assert.deepEqual(await answer(...values), values);
  assert.equal(await s.emitWithAck("echo", "one"), "one");
}

// SOC-004, SOC-016.
export async function multibyteText(t) {
  const s = await t.connect();
  const text = "äöü € 漢字 ÿ 😀 \u0000 \u2028 \\ \" / \u001e end";
  const back = t.event(s, "back");
  s.emit("back", text, { "ключ 🔑": text });
  assert.deepEqual(await back, [text, { "ключ 🔑": text }]);
  assert.equal(await t.request(s, "echo", text), text);
}

// SOC-002, SOC-006: several attachments, nested, empty, next to text.
export async function binaryBothWays(t) {
  const s = await t.connect();
  const a = randomBytes(300);
  const b = randomBytes(70_000);
  const args = [a, "text", { list: [b, { deep: [Buffer.alloc(0)] }], n: 1 }, a];
  const back = t.event(s, "back");
  s.emit("back", ...args);
  assert.deepEqual(await back, args);
  const answer = await new Promise((resolve) => s.emit("echo", ...args, (...got) => resolve(got)));
  assert.deepEqual(answer, args);
}

// What came, decoded and encoded again by Go, and an object with binary inside by way of a type.
export async function decodedByGo(t) {
  const s = await t.connect();
  const args = [...valuesFor(t), randomBytes(300), { list: [randomBytes(3), { deep: [Buffer.alloc(0)] }] }];
  assert.deepEqual(await new Promise((resolve) => s.emit("decoded", ...args, (...got) => resolve(got))), args);
  const pictures = [{ Name: "a", Bytes: randomBytes(2000) }, { Name: "b", Bytes: Buffer.alloc(0), thumb: randomBytes(10) }];
  const got = await new Promise((resolve) => s.emit("album", { title: "ж", pictures, byName: {} }, (...all) => resolve(all)));
  assert.deepEqual(got, [{ title: "ж", pictures, byName: { a: pictures[0], b: pictures[1] } }, 2]);
}

// The keys of an object keep their order, whatever they are called; but for integers, which JavaScript itself puts first, and
// what notepack.io makes of __proto__.
export async function orderOfKeys(t) {
  const s = await t.connect();
  const proto = t.parser === "msgpack" ? "__prot__" : "__proto__";
  const text = `{"z":{"b":1,"a":[{"y":0,"x":0}]},"a":{"${proto}":{"polluted":true},"constructor":2},"":3,"ä":4,"M":5}`;
  assert.equal(JSON.stringify(await t.request(s, "echo", JSON.parse(text))), text);
  const back = t.event(s, "back");
  s.emit("back", JSON.parse(text));
  assert.equal(JSON.stringify((await back)[0]), text);
  assert.equal({}.polluted, undefined);
}

// SOC-006, SOC-010: the server asks, the client answers, with binary too.
export async function serverAsksTheClient(t) {
  const s = await t.connect();
  s.on("question", (q, ack) => ack({ answer: q }));
  assert.deepEqual(await t.request(s, "ask", "why?"), { answer: "why?" });
  const bytes = randomBytes(1000);
  assert.deepEqual(await t.request(s, "ask", { in: [bytes] }), { answer: { in: [bytes] } });
}

// SOC-038, SOC-041: no answer in time is an error there; a late one is ignored.
export async function serverGivesUpWaiting(t) {
  const s = await t.connect();
  let late;
  s.on("question", (q, ack) => (late = ack));
  assert.equal(await t.request(s, "ask-late", 50), "timeout");
  late("too late");
  assert.equal(await t.request(s, "echo", 1), 1);
}

// Acknowledgements overtake the events before them, which is what lets a handler wait for one.
export async function answerWhileEventsAreQueued(t) {
  const s = await t.connect();
  const asked = t.event(s, "question");
  const answer = t.request(s, "ask", "first?");
  for (let i = 0; i < 200; i++) s.emit("tick", i);
  const [, ack] = await asked;
  for (let i = 200; i < 400; i++) s.emit("tick", i);
  ack("done");
  assert.equal(await answer, "done");
  assert.equal(await t.request(s, "echo", "end"), "end");
}

// SOC-012: large both ways; the second needs --max-http-buffer-size above 3 MB.
export async function largeAcknowledgementToTheClient(t) {
  const s = await t.connect();
  const text = await t.request(s, "string", 3_000_000);
  assert.equal(text.length, 3_000_000);
  const bytes = await t.request(s, "bytes", 3_000_000);
  assert.equal(bytes.length, 3_000_000);
  assert.ok(bytes.every((b) => b === 7));
}
largeAcknowledgementToTheClient.deadline = 60_000;

export async function largeAcknowledgementFromTheClient(t) {
  const s = await t.connect();
  s.on("question", (q, ack) => ack(q === "text" ? "y".repeat(3_000_000) : Buffer.alloc(3_000_000, 9)));
  assert.equal(await t.request(s, "ask-length", "text"), 3_000_000);
  assert.equal(await t.request(s, "ask-length", "bytes"), 3_000_000);
  assert.equal(await t.request(s, "echo", "still here"), "still here");
}
largeAcknowledgementFromTheClient.deadline = 60_000;

// SOC-011: a thousand events of every kind, answered by emits and acknowledgements, in one order.
export async function orderOfMixedEvents(t) {
  const s = await t.connect();
  const seen = [];
  s.on("tick", (i) => seen.push(typeof i === "number" ? i : Buffer.from(i).readUInt32BE()));
  const n = 1000;
  const last = new Promise((resolve) => {
    for (let i = 0; i < n; i++) {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(i);
      if (i % 3 === 0) s.emit("tick", i);
      else if (i % 3 === 1) s.emit("echo", i, (got) => seen.push(got));
      else s.emit("tick", bytes);
    }
    s.emit("echo", n, resolve);
  });
  await last;
  assert.deepEqual(seen, Array.from({ length: n }, (_, i) => i));
}
orderOfMixedEvents.deadline = 60_000;
