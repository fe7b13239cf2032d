// node ways.mjs --url https://127.0.0.1:3000 --path /app/socket.io --ca cert.pem --secure true
//
// Has stock clients of each transport talk with the application of ways_test.go, which says what it sees of them and echoes,
// and prints a line of JSON for each: {"name","ok","ms","error"}. Exit status 1: one failed.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { io } from "socket.io-client";
import { patience, report, within } from "./lib/report.mjs";

const { values: flags } = parseArgs({
  options: { url: { type: "string" }, path: { type: "string" }, ca: { type: "string" }, secure: { type: "string" } },
});
const ca = flags.ca && readFileSync(flags.ca);

async function talk(transports) {
  const s = io(flags.url, { path: flags.path, ca, transports, reconnection: false, forceNew: true, query: { way: "this" } });
  try {
    const [secure, way] = await new Promise((resolve, reject) => {
      s.once("hello", (...args) => resolve(args));
      s.once("connect_error", reject);
    });
    assert.equal(String(secure), flags.secure);
    assert.equal(way, "this");
    const last = transports.at(-1);
    if (s.io.engine.transport.name !== last) await new Promise((resolve) => s.io.engine.once("upgrade", resolve));
    assert.equal(s.io.engine.transport.name, last);
    const bytes = Buffer.from([0, 1, 255]);
    assert.deepEqual(await s.emitWithAck("echo", { text: "ä", bytes }), { text: "ä", bytes });
  } finally {
    s.disconnect();
  }
}

let failed = 0;
for (const transports of [["websocket"], ["polling"], ["polling", "websocket"]]) {
  if (!(await report(transports.join(" to "), () => within(patience, talk(transports))))) failed++;
}
process.exit(failed > 0 ? 1 : 0);
