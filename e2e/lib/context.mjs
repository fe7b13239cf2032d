// The context one scenario runs in: it opens clients, waits for their events and closes them all at the end.

import { randomBytes } from "node:crypto";
import { Agent } from "node:http";
import { Manager } from "socket.io-client";
import msgpack from "socket.io-msgpack-parser";

export class Context {
  #urls;
  #managers = [];
  #waiting = new Map(); // what the scenario is waiting for: said when its deadline passes

  constructor(urls, transports, parser = "json") {
    this.#urls = urls;
    this.transports = transports;
    this.parser = parser;
    this.tag = randomBytes(5).toString("hex"); // keeps rooms of scenarios apart
  }

  // url is the address of an edge; scenarios use several, of which some may be the same.
  url(edge = 0) {
    return this.#urls[edge % this.#urls.length];
  }

  // manager opens an Engine.IO connection of its own; reconnection is off unless asked for.
  manager(options = {}, edge = 0) {
    const m = new Manager(this.url(edge), {
      transports: this.transports,
      upgrade: false,
      reconnection: false,
      autoConnect: false,
      parser: this.parser === "msgpack" ? msgpack : undefined,
      agent: new Agent({ keepAlive: true }),
      ...options,
    });
    this.#managers.push(m);
    return m;
  }

  // socket is a client of one namespace that has begun to connect.
  socket(namespace = "/", options = {}, edge = 0) {
    const { auth, ...rest } = options;
    const s = this.manager(rest, edge).socket(namespace, { auth });
    s.connect();
    return s;
  }

  // connect is a client that has joined the namespace.
  async connect(namespace = "/", options = {}, edge = 0) {
    return this.connected(this.socket(namespace, options, edge));
  }

  async connected(s) {
    if (s.connected) return s;
    await this.#wait(`connect of ${s.nsp}`, (resolve, reject) => {
      s.once("connect", resolve);
      s.once("connect_error", (err) => reject(new Error(`connect_error: ${err.message} ${err.context?.responseText ?? ""}`)));
    });
    return s;
  }

  // refused is the error a client gets instead of a connection.
  async refused(s) {
    return this.#wait(`connect_error of ${s.nsp}`, (resolve, reject) => {
      s.once("connect_error", resolve);
      s.once("connect", () => reject(new Error("connected, want connect_error")));
    });
  }

  // event waits for the next event of that name whose arguments pass the test.
  async event(s, name, test = () => true) {
    return this.#wait(`event "${name}"`, (resolve) => {
      const take = (...args) => {
        if (!test(...args)) return;
        s.off(name, take);
        resolve(args);
      };
      s.on(name, take);
    });
  }

  // request emits an event and waits for the first argument of its acknowledgement.
  async request(s, name, ...args) {
    return this.#wait(`acknowledgement of "${name}"`, (resolve) => s.emit(name, ...args, resolve));
  }

  // until asks again and again, until the answer passes the test; for what has no event to wait for.
  async until(what, ask, test) {
    let last;
    return this.#wait(() => `${what}, last seen ${JSON.stringify(last)}`, async (resolve, reject, signal) => {
      try {
        for (; !signal.aborted; await sleep(20)) {
          last = await ask();
          if (test(last)) return resolve(last);
        }
      } catch (err) {
        reject(err);
      }
    });
  }

  waiting() {
    return [...this.#waiting.values()].map((what) => (typeof what === "function" ? what() : what));
  }

  close() {
    for (const stop of this.#waiting.keys()) stop.abort();
    for (const m of this.#managers) {
      m.reconnection(false);
      m.engine?.close();
      m._close();
      setTimeout(() => m.opts.agent.destroy(), 2_000).unref(); // the close packet of a polling client is on its way
    }
  }

  #wait(what, start) {
    const stop = new AbortController();
    this.#waiting.set(stop, what);
    return new Promise((resolve, reject) => start(resolve, reject, stop.signal)).finally(() => this.#waiting.delete(stop));
  }
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

// record collects the arguments of every event of that name from now on.
export function record(s, name) {
  const seen = [];
  s.on(name, (...args) => seen.push(args));
  return seen;
}

// cut breaks the connection under a client without a word to the server, as a dead network would.
// A polling client has a connection only while a request is under way; its GET is, sooner or later.
export async function cut(t, s) {
  const { engine, opts } = s.io;
  const { transport } = engine;
  if (transport.name === "websocket") return transport.ws.terminate();
  await t.until("a GET broken", () => {
    const sockets = Object.values(opts.agent.sockets).flat();
    // If this GET has its answer already and the client has not read that, the next one is broken.
    if (engine.readyState === "open" && transport._polling && sockets.length === 1) sockets[0].destroy();
    return engine.readyState;
  }, (state) => state === "closed");
}
