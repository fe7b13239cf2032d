// node driver.mjs
//
// Clients under remote control, for tests that kill servers meanwhile. One JSON object a line:
//
//   in   {"id":1,"op":"open","client":"a","url":"http://…","namespace":"/","options":{…}}   answered at once
//   in   {"id":2,"op":"request","client":"a","event":"echo","args":[…]}                     answered with the acknowledgement
//   in   {"id":3,"op":"emit","client":"a","event":"tick","args":[…]}                        answered at once
//   in   {"id":4,"op":"close","client":"a"}
//   out  {"id":2,"args":[…]}  or  {"id":2,"error":"…"}
//   out  {"client":"a","event":"connect","args":["socket id"]}, and so every event, connect_error and disconnect too

import { createInterface } from "node:readline";
import { Manager } from "socket.io-client";

const clients = new Map();
const tell = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const ops = {
  open({ client, url, namespace = "/", options = {} }) {
    const manager = new Manager(url, { transports: ["websocket"], reconnectionDelay: 50, reconnectionDelayMax: 200, ...options, autoConnect: false });
    const s = manager.socket(namespace, { auth: options.auth });
    s.on("connect", () => tell({ client, event: "connect", args: [s.id] }));
    s.on("connect_error", (err) => tell({ client, event: s.active ? "retry" : "connect_error", args: [err.message] }));
    s.on("disconnect", (reason) => tell({ client, event: "disconnect", args: [reason] }));
    s.onAny((event, ...args) => tell({ client, event, args }));
    clients.set(client, s);
    s.connect();
    return [];
  },
  async request({ client, event, args = [], timeout = 5000 }) {
    return [await clients.get(client).timeout(timeout).emitWithAck(event, ...args)];
  },
  emit({ client, event, args = [] }) {
    clients.get(client).emit(event, ...args);
    return [];
  },
  close({ client }) {
    clients.get(client).io.reconnection(false);
    clients.get(client).disconnect();
    clients.delete(client);
    return [];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  // Not awaited: orders are carried out side by side, as several people would use their clients.
  (async () => ops[order.op](order))().then(
    (args) => tell({ id: order.id, args }),
    (err) => tell({ id: order.id, error: String(err.message ?? err) }),
  );
}
process.exit(0);
