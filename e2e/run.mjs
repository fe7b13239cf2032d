// node run.mjs --urls http://127.0.0.1:3000,http://127.0.0.1:3001 [--transports websocket,polling] [--parser json|msgpack] [--settings name] [--only text] [--list]
//
// Runs every scenario of scenarios/*.mjs against a server of e2e/app with the stock socket.io-client, and prints one line of
// JSON for each: {"name","ok","ms","error"}. Those not marked `once` run for each transport, those with a `parser` with that
// one only, those with `settings` only where edges have these (see tuned_test.go), and nothing else there. Exit status 1: one
// failed.

import { readdir } from "node:fs/promises";
import { inspect, parseArgs } from "node:util";
import { Context } from "./lib/context.mjs";

const { values: flags } = parseArgs({
  options: {
    urls: { type: "string" },
    transports: { type: "string", default: "websocket,polling" },
    parser: { type: "string", default: "json" },
    settings: { type: "string", default: "" },
    only: { type: "string", default: "" },
    list: { type: "boolean", default: false },
  },
});

async function scenarios() {
  const found = [];
  const folder = new URL("scenarios/", import.meta.url);
  for (const file of (await readdir(folder)).sort()) {
    const group = file.replace(/\.mjs$/, "");
    for (const [name, run] of Object.entries(await import(new URL(file, folder)))) {
      if ((run.parser ?? flags.parser) !== flags.parser || (run.settings ?? "") !== flags.settings) continue;
      const transports = run.once ? [undefined] : flags.transports.split(",");
      for (const transport of transports) found.push({ name: [group, name, transport].filter(Boolean).join("/"), run, transport });
    }
  }
  return found.filter((s) => s.name.includes(flags.only));
}

async function play({ name, run, transport }, urls) {
  const t = new Context(urls, transport ? [transport] : undefined, flags.parser);
  const deadline = run.deadline ?? 30_000;
  const began = performance.now();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${deadline} ms, waiting for: ${t.waiting().join(", ")}`)), deadline);
  });
  const result = { name, ok: true, ms: 0 };
  try {
    await Promise.race([run(t), late]);
  } catch (err) {
    Object.assign(result, { ok: false, error: inspect(err) });
  } finally {
    clearTimeout(timer);
    t.close();
  }
  result.ms = Math.round(performance.now() - began);
  return result;
}

const table = await scenarios();
if (flags.list) {
  for (const s of table) console.log(s.name);
  process.exit(0);
}
if (!flags.urls || table.length === 0) {
  console.error(flags.urls ? `no scenario named like "${flags.only}"` : "--urls is missing");
  process.exit(2);
}
// A promise that a failed scenario left behind is no failure of the next one.
process.on("unhandledRejection", () => {});
let failed = 0;
for (const s of table) {
  const result = await play(s, flags.urls.split(","));
  if (!result.ok) failed++;
  console.log(JSON.stringify(result));
}
process.exit(failed > 0 ? 1 : 0);
