// What only clients with socket.io-msgpack-parser can send, and what becomes of it.

import assert from "node:assert/strict";
import { record } from "../lib/context.mjs";

// PAR-027: what JSON has no words for arrives as JSON.stringify would have written it.
export async function valuesThatJSONHasNot(t) {
  const s = await t.connect();
  const at = new Date("2024-02-29T12:34:56.789Z");
  const back = t.event(s, "back");
  s.emit("back", at, undefined, { gone: undefined, stays: 1 }, [undefined, NaN, -Infinity], { at });
  assert.deepEqual(await back, [at.toJSON(), null, { stays: 1 }, [null, null, null], { at: at.toJSON() }]);
}

// PAR-029: bytes in every form in which a client may have them.
export async function formsOfBinary(t) {
  const s = await t.connect();
  const bytes = Uint8Array.from([0, 1, 254, 255]);
  const got = await new Promise((resolve) => s.emit("echo", bytes, bytes.buffer, Buffer.from(bytes), { deep: [bytes] }, (...all) => resolve(all)));
  const want = Buffer.from(bytes);
  assert.deepEqual(got, [want, want, want, { deep: [want] }]);
  assert.ok(got.slice(0, 3).every(Buffer.isBuffer));
}

// Numbers keep their values, and objects the order of their keys, whatever these are called.
export async function numbersAndKeys(t) {
  const s = await t.connect();
  const numbers = [0, 127, 128, 2 ** 16, 2 ** 32, Number.MAX_SAFE_INTEGER, -32, -33, -(2 ** 31) - 1, Number.MIN_SAFE_INTEGER, 0.1, 1e-7, 1e15, 5e-324];
  const object = JSON.parse('{"z":1,"a":{"__proto__":{"polluted":true},"constructor":2},"_placeholder":true,"num":0}');
  const [gotNumbers, gotObject] = await new Promise((resolve) => s.emit("echo", numbers, object, (...all) => resolve(all)));
  assert.deepEqual(gotNumbers, numbers);
  assert.deepEqual(Object.keys(gotObject), ["z", "a", "_placeholder", "num"]);
  assert.equal({}.polluted, undefined);
}

// PAR-030, PAR-028: what is no packet closes the connection.
export async function malformedPacketClosesTheConnection(t) {
  for (const bytes of [Buffer.from([0xc1]), Buffer.from([0x80]), Buffer.from("\x82\xa4type\x01\xa3nsp\xa1/\xc0", "latin1"), '2["e"]']) {
    const s = await t.connect();
    const gone = t.event(s, "disconnect");
    s.io.engine.write(bytes);
    const [reason] = await gone;
    assert.ok(["transport close", "transport error", "io server disconnect"].includes(reason), reason);
  }
}

// PAR-031: one parser for both ends.
export async function clientWithTheParserForJSONIsRefused(t) {
  const s = t.socket("/", { parser: undefined });
  s.on("connect", () => assert.fail("connected"));
  const closed = record(s.io, "close");
  await t.until("the connection closed", () => closed.length, (n) => n === 1);
  assert.equal(s.connected, false);
}

for (const run of [valuesThatJSONHasNot, formsOfBinary, numbersAndKeys, malformedPacketClosesTheConnection, clientWithTheParserForJSONIsRefused]) run.parser = "msgpack";
