// node run.mjs --urls http://127.0.0.1:3000,http://127.0.0.1:3001 [--transports websocket,polling] [--parser json|msgpack] [--settings name] [--only text] [--list]
//
// Runs every scenario of scenarios/*.mjs against a server of e2e/app with the stock socket.io-client, and prints one line of
// JSON for each: {"name","ok","ms","error"}. Those not marked `once` run for each transport, those with a `parser` with that
// one only, those with `settings` only where edges have these (see tuned_test.go), and nothing else there. Exit status 1: one
// failed.

import { readdir } from "node:fs/promises";
import { parseArgs } from "node:util";
import { Context } from "./lib/context.mjs";
import { patience, report, within } from "./lib/report.mjs";

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

async function play({ run, transport }, urls) {
  const t = new Context(urls, transport ? [transport] : undefined, flags.parser);
  try {
    await within(run.deadline ?? patience, run(t), () => t.waiting());
  } finally {
    t.close();
  }
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
  if (!(await report(s.name, () => play(s, flags.urls.split(","))))) failed++;
}
process.exit(failed > 0 ? 1 : 0);
