// What the Engine.IO client does beneath Socket.IO: refused sessions and transports, batches, cookies, a close during an upgrade.

import assert from "node:assert/strict";
import { Agent } from "node:http";
import { Socket } from "engine.io-client";
import { record } from "../lib/context.mjs";

const unknown = '{"code":1,"message":"Session ID unknown"}';

const open = (t, options = {}) => new Socket(t.url(), { path: "/socket.io", transports: t.transports, ...options });

// failure is an error and what the server said, which the client forgets at once.
async function failure(t, emitter, name) {
  let body;
  const [err] = await t.event(emitter, name, ({ context }) => {
    body = context?.responseText;
    return true;
  });
  return [err, body];
}

export async function unknownSession(t) {
  const [err, body] = await failure(t, open(t, { query: { sid: "unknown" } }), "error");
  assert.equal(err.type, "TransportError");
  if (t.transports[0] === "websocket") {
    assert.match(err.description.message, /\b400$/);
    return;
  }
  assert.equal(err.description, 400);
  assert.equal(body, unknown); // CLI-010
}
unknownSession.parser = "json";

// post sends a packet on polling, and returns what is answered.
async function post(t, sid, packet) {
  const url = `${t.url()}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  return (await fetch(url, { method: "POST", body: packet })).text();
}

// gone waits until the session has ended, which cuts a POST that it meets.
async function gone(t, sid) {
  await t.until("the session gone", () => post(t, sid, "6").catch((err) => String(err.cause)), (text) => text === unknown);
}

// closeDuringUpgrade closes a connection while it is being upgraded, and returns its id and what it said of that, in order.
async function closeDuringUpgrade(t, whileClosing) {
  const engine = open(t, { transports: ["polling", "websocket"] });
  const said = [];
  for (const name of ["upgrade", "upgradeError", "close"]) engine.on(name, () => said.push(name));
  let sid;
  engine.once("upgrading", (transport) => {
    sid = engine.id;
    engine.close();
    assert.equal(engine.readyState, "closing");
    whileClosing(transport);
  });
  await t.event(engine, "close");
  assert.equal(engine.readyState, "closed");
  return { sid, said };
}

export async function closeWaitsForTheUpgrade(t) {
  const { sid, said } = await closeDuringUpgrade(t, () => {});
  assert.deepEqual(said, ["upgrade", "close"]); // CLI-013
  await gone(t, sid);
}
closeWaitsForTheUpgrade.once = true;
closeWaitsForTheUpgrade.parser = "json";

// The client says nothing to the server then, which has the session on polling still.
export async function closeWaitsForTheEndOfTheUpgrade(t) {
  const { sid, said } = await closeDuringUpgrade(t, (transport) => transport.ws.terminate());
  assert.deepEqual(said, ["upgradeError", "close"]); // CLI-013
  assert.equal(await post(t, sid, "1"), "ok");
  await gone(t, sid);
}
closeWaitsForTheEndOfTheUpgrade.once = true;
closeWaitsForTheEndOfTheUpgrade.parser = "json";

// Many packets at once become payloads that the server takes.
export async function batchesAreBelowTheLimit(t) {
  const s = t.socket("/", { transports: ["polling"] });
  const [{ maxPayload }] = await t.event(s.io.engine, "handshake");
  await t.connected(s);
  const { transport } = s.io.engine;
  const sizes = [];
  const doWrite = transport.doWrite;
  transport.doWrite = (data, done) => {
    sizes.push(Buffer.byteLength(data));
    doWrite.call(transport, data, done);
  };
  const text = "é".repeat(maxPayload / 8); // of two bytes each
  const texts = Array.from({ length: 12 }, (_, i) => `${i}${text}`);
  const back = record(s, "back");
  assert.deepEqual(await Promise.all(texts.map((x) => t.request(s, "echo", x))), texts);
  assert.ok(Math.max(...sizes) <= maxPayload, `${sizes}, of at most ${maxPayload}`); // CLI-009
  assert.ok(sizes.length < texts.length, `${sizes.length} requests`);

  const most = maxPayload - '42["back",""]'.length;
  sizes.length = 0;
  s.emit("back", "x".repeat(most));
  await t.until("the event back", () => back.length, (n) => n === 1);
  assert.equal(back[0][0].length, most);
  assert.ok(sizes.includes(maxPayload), `${sizes}`); // CLI-009: the limit itself is no excess
}
batchesAreBelowTheLimit.once = true;
batchesAreBelowTheLimit.settings = "small";

export async function oneByteTooMuch(t) {
  const s = t.socket();
  const [{ maxPayload }] = await t.event(s.io.engine, "handshake");
  await t.connected(s);
  const { id: sid } = s.io.engine;
  const end = t.event(s, "disconnect");
  s.emit("back", "x".repeat(maxPayload - '42["back",""]'.length + 1));
  const [reason, detail] = await end;
  if (t.transports[0] === "websocket") {
    assert.deepEqual([reason, detail.context.code], ["transport close", 1009]); // CLI-009
  } else {
    assert.deepEqual([reason, detail.description], ["transport error", 413]); // CLI-009
  }
  await gone(t, sid);
}
oneByteTooMuch.settings = "small";

// A CookieWatch notes the cookies of each request.
class CookieWatch extends Agent {
  seen = [];

  addRequest(request, options) {
    this.seen.push(String(request.getHeader("cookie") ?? ""));
    return super.addRequest(request, options);
  }
}

export async function cookiesComeBack(t) {
  for (const withCredentials of [true, false]) {
    const agent = new CookieWatch({ keepAlive: true });
    const s = t.socket("/", { transports: ["polling", "websocket"], upgrade: true, withCredentials, agent });
    const upgraded = t.event(s.io.engine, "upgrade");
    await t.connected(s);
    await upgraded;
    assert.equal(await t.request(s, "echo", "still"), "still");
    const [first, ...later] = agent.seen;
    assert.equal(first, "");
    assert.ok(later.length >= 3, `${later.length} requests: to poll, to send and to upgrade at least`);
    for (const cookie of later) assert.equal(cookie, withCredentials ? `io=${s.io.engine.id}` : ""); // CLI-012
  }
}
cookiesComeBack.once = true;
cookiesComeBack.settings = "small";

export async function nextTransportIsTried(t) {
  const transports = ["polling", "websocket"];
  const [, body] = await failure(t, t.socket("/", { transports }), "connect_error");
  assert.equal(body, '{"code":0,"message":"Transport unknown"}');
  const s = t.socket("/", { transports, tryAllTransports: true });
  const errors = record(s, "connect_error");
  await t.connected(s);
  assert.equal(s.io.engine.transport.name, "websocket"); // CLI-011
  assert.equal(await t.request(s, "echo", "in"), "in");
  assert.deepEqual(errors, []);
}
nextTransportIsTried.once = true;
nextTransportIsTried.settings = "websocket";
