// The client's option `retries`: it sends one packet at a time, and again until it is acknowledged.

import assert from "node:assert/strict";

const EVENT = 2;

// log notes what a socket sends, and has a function that emits and notes when it is acknowledged.
function log(s) {
  const seen = [];
  const packet = s.packet;
  s.packet = (p) => {
    if (p.type === EVENT) seen.push({ sent: p.data.slice(0, 2).join(" "), id: p.id });
    packet.call(s, p);
  };
  const emit = (...args) =>
    new Promise((resolve) =>
      s.emit(...args, (err, got) => {
        seen.push({ done: args.slice(0, 2).join(" ") });
        resolve(err ?? got);
      }),
    );
  return { seen, emit };
}

// oneAtATime tells that each packet but the last was done with before another one was sent, and each had an id of its own.
function oneAtATime(seen, names) {
  const sent = seen.filter((x) => x.sent);
  assert.deepEqual(sent.map((x) => x.id), sent.map((_, i) => i)); // CLI-007: a repeated one has a new id
  assert.deepEqual([...new Set(sent.map((x) => x.sent))], names);
  let flying;
  for (const x of seen) {
    if (x.sent) assert.ok(!flying || flying === x.sent, `${x.sent} was sent before ${flying} was acknowledged`); // CLI-007
    flying = x.sent;
  }
  assert.equal(seen.at(-1).done, names.at(-1));
}

// The server answers "late" when it comes for the second time.
export async function repeatedUntilItIsAnswered(t) {
  const s = t.manager().socket("/", { retries: 50, ackTimeout: 500 });
  s.connect();
  await t.connected(s);
  const { seen, emit } = log(s);
  const answers = await Promise.all([emit("late"), emit("echo", 1), emit("echo", 2)]);
  assert.deepEqual(answers, ["second", 1, 2]); // CLI-007
  oneAtATime(seen, ["late", "echo 1", "echo 2"]);
  assert.equal(seen[1].sent, "late");
}
repeatedUntilItIsAnswered.parser = "json";

// What was under way when the connection ended is sent again on the next one, ahead of what waited for it.
export async function repeatedAfterAReconnect(t) {
  const m = t.manager({ reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 });
  const s = m.socket("/", { retries: 50, ackTimeout: 5000 });
  s.connect();
  await t.connected(s);
  const { seen, emit } = log(s);
  const again = t.event(s, "connect");
  m.engine.write("?"); // no packet of Socket.IO: the server closes the connection
  const answers = await Promise.all([emit("echo", 1), emit("echo", 2), emit("echo", 3)]);
  await again;
  assert.deepEqual(answers, [1, 2, 3]); // CLI-007
  oneAtATime(seen, ["echo 1", "echo 2", "echo 3"]);
  assert.equal(seen[1].sent, "echo 1");
}
repeatedAfterAReconnect.parser = "json";

// /spied answers what its clients sent; nobody answers "unanswered". What is behind it has time to be sent once only.
export async function givenUp(t) {
  const s = t.manager().socket("/spied", { retries: 2, ackTimeout: 100 });
  s.connect();
  await t.connected(s);
  const { seen, emit } = log(s);
  const error = emit("unanswered");
  const said = new Promise((resolve) => s.timeout(60_000).emit("said", "behind it", (err, name) => resolve(err ?? name)));
  assert.equal((await error).message, "operation has timed out"); // CLI-008
  assert.deepEqual(seen, [
    { sent: "unanswered", id: 0 }, { sent: "unanswered", id: 1 }, { sent: "unanswered", id: 2 }, { done: "unanswered" },
    { sent: "said behind it", id: 3 },
  ]); // CLI-008: retries+1 times; the next one comes behind it
  assert.equal(await said, "said");
  const trace = await new Promise((resolve) => s.timeout(60_000).emit("trace", (err, got) => resolve(err ?? got)));
  const arrived = trace.filter((x) => x.startsWith("any "));
  assert.deepEqual(arrived, ["any unanswered", "any unanswered", "any unanswered", "any said"]); // CLI-007, CLI-008
}
givenUp.parser = "json";
