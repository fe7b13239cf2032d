// node spread.mjs --url http://127.0.0.1:3000 --clients 500 --transports polling,websocket --messages 20
//
// Stock clients before a balancer that knows nothing of sessions. Each sends numbered events from the moment it is connected,
// some with an acknowledgement, and gets each back as an event; it checks that all come, once and in order. Prints one line of
// JSON. Exit status 1: something was lost, repeated, out of order or refused, or a client had to connect again.

import { parseArgs } from "node:util";
import { Manager } from "socket.io-client";

const { values: flags } = parseArgs({
  options: {
    url: { type: "string" },
    clients: { type: "string", default: "500" },
    transports: { type: "string", default: "polling,websocket" },
    messages: { type: "string", default: "20" },
    deadline: { type: "string", default: "120000" },
  },
});
const transports = flags.transports.split(",");
const messages = Number(flags.messages);
const wanted = transports.length > 1 ? "websocket" : transports[0];
const deadline = Number(flags.deadline);
const result = { clients: Number(flags.clients), done: 0, upgraded: 0, duringUpgrade: 0, problems: [] };
const problem = (client, what) => result.problems.push(`${client}: ${what}`);
const turn = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 10));

async function play(client) {
  const manager = new Manager(flags.url, { transports, timeout: deadline, reconnection: false, autoConnect: false });
  const socket = manager.socket("/");
  const ended = new Promise((_, reject) => {
    socket.on("connect_error", (err) => reject(new Error(`connect_error ${err.message} ${err.context?.status ?? ""} ${err.context?.responseText ?? ""}`)));
    socket.on("disconnect", (reason, details) => reject(new Error(`disconnect ${reason} ${JSON.stringify(details ?? {})}`)));
  });
  const connected = new Promise((resolve) => socket.once("connect", resolve));
  let next = 0;
  let allBack;
  const back = new Promise((resolve) => (allBack = resolve));
  socket.on("back", (n, payload) => {
    if (n !== next) problem(client, `got event ${n}, want ${next}`);
    if (payload?.length !== n) problem(client, `event ${n} came with another payload`);
    next = n + 1;
    if (next === messages) allBack();
  });
  socket.connect();
  await Promise.race([connected, ended]);
  const upgrade = transports.length === 1 || manager.engine.transport.name === wanted
    ? Promise.resolve()
    : new Promise((resolve) => manager.engine.once("upgrade", resolve));
  const acks = [];
  for (let n = 0; n < messages; n++) {
    if (manager.engine.transport.name !== wanted) result.duringUpgrade++;
    socket.emit("back", n, Buffer.alloc(n, n));
    if (n % 3 === 0) {
      acks.push(socket.emitWithAck("echo", n).then((m) => m === n || problem(client, `echo ${n} answered with ${m}`)));
    }
    await turn();
  }
  await Promise.race([Promise.all([back, upgrade, ...acks]), ended]);
  if (manager.engine.transport.name !== wanted) problem(client, `ended on ${manager.engine.transport.name}`);
  if (transports.length > 1) result.upgraded++;
  socket.off("disconnect");
  socket.disconnect();
  result.done++;
}

const timer = setTimeout(() => {
  result.problems.push(`not done in time: ${result.done} of ${result.clients}`);
  finish();
  process.exit();
}, deadline);

function finish() {
  result.failures = result.problems.length;
  result.problems = result.problems.slice(0, 20);
  console.log(JSON.stringify(result));
  process.exitCode = result.failures > 0 ? 1 : 0; // the last requests still end
}

const all = [];
for (let i = 0; i < result.clients; i++) {
  all.push(play(i).catch((err) => problem(i, err.message)));
  if (i % 10 === 9) await turn();
}
await Promise.all(all);
clearTimeout(timer);
finish();
