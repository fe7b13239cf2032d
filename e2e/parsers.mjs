// node parsers.mjs --json http://127.0.0.1:3000 --msgpack http://127.0.0.1:3001
//
// Plays scenarios with clients of both parsers at edges of one mesh, for each transport, and prints a line of JSON for each:
// {"name","ok","ms","error"}. Exit status 1: one failed.

import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { Context, record } from "./lib/context.mjs";
import { patience, report, within } from "./lib/report.mjs";

const { values: urls } = parseArgs({ options: { json: { type: "string" }, msgpack: { type: "string" } } });

const scenarios = {
  // PAR-029: a broadcast is one event to all, in whatever form each gets it.
  async broadcastToBoth({ json, msgpack }) {
    const [a, b] = [await json.connect(), await msgpack.connect()];
    const room = `both ${json.tag}`;
    await json.request(a, "join", room);
    await msgpack.request(b, "join", room);
    const payload = { z: 1, a: [Buffer.from([1, 2, 255]), null, 0.5, "é"], n: Number.MAX_SAFE_INTEGER, b: Buffer.alloc(300, 7) };
    for (const sender of [a, b]) {
      const heard = [json.event(a, "said"), msgpack.event(b, "said")];
      sender.emit("to", [room], [], payload);
      for (const [got] of await Promise.all(heard)) assert.deepEqual(got, payload);
    }
  },

  // Each hears what the other says in the order in which it was said, binary or not.
  async oneOrder({ json, msgpack }) {
    const [a, b] = [await json.connect(), await msgpack.connect()];
    const room = `order ${json.tag}`;
    await json.request(a, "join", room);
    await msgpack.request(b, "join", room);
    const heard = [record(a, "said"), record(b, "said")];
    const n = 100;
    for (let i = 0; i < n; i++) (i % 2 ? a : b).emit("to", [room], [], i % 3 ? i : Buffer.from([i]));
    await json.until("all of it heard", () => Math.min(...heard.map((h) => h.length)), (got) => got === n);
    assert.deepEqual(heard[0], heard[1]);
  },

  // PAR-031: neither can connect where the other belongs.
  async eachWhereItBelongs({ json, msgpack }) {
    for (const [t, url] of [[json, urls.msgpack], [msgpack, urls.json]]) {
      const there = new Context([url], t.transports, t.parser);
      const s = there.socket();
      s.on("connect", () => assert.fail("connected"));
      const closed = record(s.io, "close");
      await there.until("the connection closed", () => closed.length, (n) => n === 1);
      there.close();
    }
  },
};

async function play(run, transport) {
  const json = new Context([urls.json], [transport], "json");
  const msgpack = new Context([urls.msgpack], [transport], "msgpack");
  try {
    await within(patience, run({ json, msgpack }), () => [...json.waiting(), ...msgpack.waiting()]);
  } finally {
    json.close();
    msgpack.close();
  }
}

process.on("unhandledRejection", () => {}); // what a failed scenario left behind
let failed = 0;
for (const [name, run] of Object.entries(scenarios)) {
  for (const transport of ["websocket", "polling"]) {
    if (!(await report(`${name}/${transport}`, () => play(run, transport)))) failed++;
  }
}
process.exit(failed > 0 ? 1 : 0);
