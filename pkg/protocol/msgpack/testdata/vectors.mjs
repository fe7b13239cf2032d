// npm install --no-package-lock && node vectors.mjs > vectors.json
//
// What socket.io-msgpack-parser writes for packets like those of socket.io-client, and what its decoder says to messages that
// are none. One line of JSON for each vector:
//
//   name      what it shows
//   wire      the message, in hex
//   type, namespace, id, json, attachments
//             the packet as it is inside the mesh: attachments in hex, their placeholders in the JSON
//   canonical true if the packet is written with these very bytes
//   error     instead of a packet: what the npm package says to the message

import assert from "node:assert/strict";
import parser from "socket.io-msgpack-parser";
import { createRequire } from "node:module";

const notepack = createRequire(createRequire(import.meta.url).resolve("socket.io-msgpack-parser"))("notepack.io");
const encode = (packet) => new parser.Encoder().encode(packet)[0];

// inside is the payload as the JSON parser would have it.
function inside(value, attachments) {
  if (value === undefined || value === null) return value;
  if (typeof value.toJSON === "function" && !Buffer.isBuffer(value)) return value.toJSON();
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    attachments.push(Buffer.from(Buffer.isBuffer(value) ? value : (value.buffer ?? value)).toString("hex"));
    return { _placeholder: true, num: attachments.length - 1 };
  }
  if (Array.isArray(value)) return value.map((v) => inside(v, attachments));
  if (typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, inside(v, attachments)]));
}

const vectors = [];

// good is a packet. It is canonical if its members stand in the order in which they are written: type, nsp, data, id.
function good(name, packet, canonical = false) {
  const wire = encode(packet);
  new parser.Decoder().add(wire); // it is one for the npm package too
  const attachments = [];
  const json = packet.data === undefined ? undefined : JSON.stringify(inside(packet.data, attachments));
  const { type, nsp: namespace } = packet;
  const id = packet.id === undefined ? undefined : String(packet.id);
  vectors.push({ name, wire: wire.toString("hex"), type, namespace, id, json, attachments, canonical });
}

function bad(name, message) {
  let error;
  try {
    new parser.Decoder().add(message);
  } catch (err) {
    error = err.message;
  }
  assert.ok(error, name);
  vectors.push({ name, wire: message.toString("hex"), error });
}

const event = (name, ...args) => good(name, { type: 2, nsp: "/", data: ["e", ...args] }, true);

good("connect as the client writes it", { type: 0, data: undefined, nsp: "/" });
good("connect with auth", { type: 0, data: { token: "a" }, nsp: "/chat" });
good("connect without a payload", { type: 0, nsp: "/" }, true);
good("connect answered", { type: 0, nsp: "/chat", data: { sid: "abc" } }, true);
good("disconnect", { type: 1, nsp: "/" }, true);
good("disconnect of a namespace", { type: 1, nsp: "/chat" }, true);
good("connect error", { type: 4, nsp: "/", data: { message: "no", data: { retry: true } } }, true);
good("connect error of text", { type: 4, nsp: "/", data: "no" }, true);
good("event as the client writes it", { type: 2, data: ["hello", 1], options: { compress: true }, id: 0, nsp: "/" });
good("event with its parts in another order", { nsp: "/x", id: 300, data: ["hello"], type: 2 });
good("event with an id", { type: 2, nsp: "/", data: ["hello"], id: 70000 }, true);
good("event with a large id", { type: 2, nsp: "/", data: ["hello"], id: 2 ** 40 }, true);
good("event named by a number", { type: 2, nsp: "/", data: [7, "x"] }, true);
good("ack", { type: 3, nsp: "/chat", data: ["ok", 42], id: 12 }, true);
good("ack as the client writes it", { type: 3, id: 12, data: [], nsp: "/" });
good("ack with binary", { type: 3, nsp: "/", data: [Buffer.from([1, 2])], id: 3 }, true);

for (const n of [0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2 ** 53]) event(`integer ${n}`, n);
for (const n of [-1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1]) event(`integer ${n}`, n);
for (const n of [0.5, -1.25, 3.141592653589793, 1e-7, 5e-324, 1.7976931348623157e-300, 123456.789, 0.000001]) event(`float ${n}`, n);
good("not a number, infinities", { type: 2, nsp: "/", data: ["e", NaN, Infinity, -Infinity] });
event("booleans and null", true, false, null);
good("undefined in an array", { type: 2, nsp: "/", data: ["e", undefined, [undefined]] });
good("undefined in an object", { type: 2, nsp: "/", data: ["e", { a: undefined }, { a: undefined, b: 1, c: undefined, d: 2 }] });
for (const n of [0, 31, 32, 255, 256]) event(`string of ${n}`, "x".repeat(n));
event("text of many languages", "съешь ещё", "€", "日本語", "👩‍🚀", "a\u2028b");
event("controls and quotes", '\u0000\u0001\b\t\n\f\r"\\/\u007f');
event("empty", [], {}, "", [[]], [{}], { a: [] }, { a: {} });
event("nested", { a: [1, { b: [true, { c: null }] }], "": { "": "" } });
event("keys in order", { z: 1, a: 2, m: { y: 1, b: 2 } });
event("a key of a prototype", JSON.parse('{"__proto__":{"x":1},"constructor":2,"toString":3}'));
for (const n of [15, 16]) event(`array of ${n}`, new Array(n).fill(1));
for (const n of [15, 16]) event(`object of ${n}`, Object.fromEntries(new Array(n).fill(0).map((_, i) => [`k${i}`, i])));
event("what looks like a placeholder", { _placeholder: true, num: 0 });

for (const n of [0, 1, 8, 255, 256]) event(`binary of ${n}`, Buffer.alloc(n, 7));
event("binary at several depths", Buffer.from([1]), { a: Buffer.from([2]), b: [{ c: Buffer.from([3]) }] }, "text");
event("binary and an object with other keys", Buffer.from([1]), { num: 0, x: 1 }, { _placeholder: false, num: 0 });
const bytes = (n) => new Uint8Array(n).fill(9);
for (const n of [0, 1, 8, 255, 256]) good(`typed array of ${n}`, { type: 2, nsp: "/", data: ["e", bytes(n)] });
good("array buffer", { type: 2, nsp: "/", data: ["e", { b: bytes(5).buffer }] });

for (const text of [
  "1970-01-01T00:00:00.000Z", "2024-02-29T12:34:56.789Z", "1969-12-31T23:59:59.999Z", "2000-02-29T00:00:00.001Z",
  "1900-03-01T00:00:00.000Z", "0000-01-01T00:00:00.000Z", "-000001-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z",
  "+010000-01-01T00:00:00.000Z", "+275760-09-13T00:00:00.000Z", "-271821-04-20T00:00:00.000Z", "2100-03-01T05:06:07.008Z",
]) good(`date ${text}`, { type: 2, nsp: "/", data: ["e", new Date(text), { at: new Date(text) }] });

const raw = (value) => notepack.encode(value);
bad("nothing", Buffer.from([]));
bad("no packet", raw({}));
bad("type of text", raw({ type: "a", nsp: "/", data: ["e"] }));
bad("type 5", raw({ type: 5, nsp: "/", data: ["e"] }));
bad("type 6", raw({ type: 6, nsp: "/", data: ["e"] }));
bad("type 7", raw({ type: 7, nsp: "/", data: ["e"] }));
bad("type below zero", raw({ type: -1, nsp: "/", data: ["e"] }));
bad("type of a fraction", raw({ type: 1.5, nsp: "/", data: ["e"] }));
bad("type null", raw({ type: null, nsp: "/", data: ["e"] }));
bad("only bytes", raw(Buffer.from([1])));
bad("only an array", raw([2, "/", ["e"]]));
bad("only text", raw("2[]"));
bad("no namespace", raw({ type: 2, data: ["e"] }));
bad("namespace of a number", raw({ type: 2, nsp: 2, data: ["e"] }));
bad("namespace null", raw({ type: 2, nsp: null, data: ["e"] }));
bad("event without a payload", raw({ type: 2, nsp: "/" }));
bad("event with a payload of a number", raw({ type: 2, nsp: "/", data: 4 }));
bad("event with a payload of an object", raw({ type: 2, nsp: "/", data: { 0: "e" } }));
bad("event with a payload of bytes", raw({ type: 2, nsp: "/", data: Buffer.from([1]) }));
bad("event with a payload null", raw({ type: 2, nsp: "/", data: null }));
bad("ack with a payload of text", raw({ type: 3, nsp: "/", data: "x", id: 1 }));
bad("connect with a payload of an array", raw({ type: 0, nsp: "/", data: [] }));
bad("connect with a payload of text", raw({ type: 0, nsp: "/", data: "x" }));
bad("disconnect with a payload", raw({ type: 1, nsp: "/", data: {} }));
bad("connect error with an array", raw({ type: 4, nsp: "/", data: [] }));
bad("connect error without a payload", raw({ type: 4, nsp: "/" }));
bad("id of text", raw({ type: 2, nsp: "/", data: ["e"], id: "a" }));
bad("id of a fraction", raw({ type: 2, nsp: "/", data: ["e"], id: 1.5 }));
bad("id null", raw({ type: 2, nsp: "/", data: ["e"], id: null }));
bad("a byte behind the packet", Buffer.concat([raw({ type: 2, nsp: "/", data: ["e"] }), Buffer.from([0xc0])]));
bad("a second packet behind it", Buffer.concat([raw({ type: 1, nsp: "/" }), raw({ type: 1, nsp: "/" })]));
bad("the byte that is never used", Buffer.from([0xc1]));

console.log(`[\n${vectors.map((v) => JSON.stringify(v)).join(",\n")}\n]`);
