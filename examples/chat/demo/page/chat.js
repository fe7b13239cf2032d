// The chat: what arrives from the server changes what this page knows, and then what is seen.

import { People, Typing, standing } from "./people.js";
import * as view from "./view.js";

const $ = (id) => document.getElementById(id);
const patience = 5000; // ms a request may take

const me = { id: "", name: "", room: standing[0] };
const people = new People();
const typing = new Typing(draw);
let socket;
let privateTo; // the person the next message is for, or undefined
let inside = false;

// key is this tab's secret: it makes a person who reconnects the same person. Others only see a digest of it.
function key() {
  const fresh = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  try {
    const kept = sessionStorage.getItem("key") ?? fresh();
    sessionStorage.setItem("key", kept);
    return kept;
  } catch {
    return fresh();
  }
}

function connect() {
  const secret = key();
  // The function is asked at each connection: after an interruption we come back to the room we were in.
  const { edge, path } = document.documentElement.dataset;
  const s = window.io(`${edge}/chat`, {
    path: path || "/",
    auth: (give) => give({ name: me.name, key: secret, room: me.room }),
    autoConnect: false,
  });
  s.on("connect_error", (err) => {
    if (s.active) view.state("wait", "no answer, trying again…");
    else refuse(err.message);
  });
  s.on("disconnect", (reason) => {
    people.clear();
    typing.clear();
    choose(undefined);
    if (s.active) view.state("wait", "connection lost, trying again…");
    else view.state("off", reason === "io server disconnect" ? "the server ended the connection" : "not connected");
    draw();
  });
  s.on("welcome", welcome);
  s.on("arrived", arrived);
  s.on("here", (person) => known(person));
  s.on("moved", moved);
  s.on("left", left);
  s.on("said", (m) => {
    typing.set(m.from.id, false);
    view.message(m, me.id);
  });
  s.on("whispered", (m) => view.message(m, me.id));
  s.on("typing", (id, on) => typing.set(id, on));
  return s;
}

function refuse(why) {
  inside = false;
  view.state("off", "not connected");
  view.entered(false);
  view.refused(why);
}

function welcome(person) {
  const again = inside;
  inside = true;
  Object.assign(me, person);
  people.set(person);
  view.state("on", "connected");
  view.refused("");
  if (!again) view.entered(true);
  view.notice(again ? "You are back." : `Welcome to #${me.room}, ${me.name}.`);
  draw();
}

// arrived is told of a newcomer: everybody answers, which is how a newcomer learns who is there.
function arrived(person) {
  const before = known(person);
  if (person.room === me.room && before?.room !== me.room) view.notice(`${person.name} came in.`);
  setTimeout(() => socket.emit("greet", person.id), Math.random() * 100);
}

function known(person) {
  const before = people.set(person);
  draw();
  return before;
}

function moved(person) {
  const before = known(person);
  typing.set(person.id, false);
  if (person.id === me.id) return;
  if (person.room === me.room) view.notice(`${person.name} came in.`);
  else if (before?.room === me.room) view.notice(`${person.name} went to #${person.room}.`);
}

function left(id, lost) {
  if (id === me.id) {
    socket.emit("announce"); // an earlier connection of ours has ended only now
    return;
  }
  const before = people.delete(id);
  typing.set(id, false);
  if (before?.room === me.room) view.notice(lost ? `${before.name} lost the connection.` : `${before.name} left.`);
  if (privateTo?.id === id) choose(undefined);
  draw();
}

function draw() {
  if (!inside) return;
  view.room(me.room);
  view.rooms(people.rooms(me.room), me.room, move);
  view.people(people.in(me.room), me.id, typing.ids(), choose);
  view.typing(typing.ids().map((id) => people.get(id)).filter((p) => p?.room === me.room).map((p) => p.name));
}

function choose(person) {
  if (!person && !privateTo) return;
  privateTo = person;
  view.privateTo(person);
}

// request sends an event and tells the person what went wrong with it, if anything did.
async function request(event, ...args) {
  try {
    const { error, ...rest } = await socket.timeout(patience).emitWithAck(event, ...args);
    if (!error) return rest;
    view.notice(error);
  } catch {
    view.notice("No answer: this was perhaps not delivered.");
  }
  return undefined;
}

async function move(room) {
  if (room === me.room) return;
  const done = await request("move", room);
  if (!done) return;
  me.room = done.room;
  people.set({ ...me });
  typing.clear();
  choose(undefined);
  view.clearLog();
  view.notice(`You are in #${me.room}.`);
  draw();
}

// told is when the others last heard that we type; they forget after four seconds.
let told = 0;

function type() {
  const on = $("text").value !== "" && !privateTo;
  if (on ? Date.now() - told < 2000 : told === 0) return;
  told = on ? Date.now() : 0;
  if (socket.connected) socket.emit("typing", on);
}

async function send(event) {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  if (!socket.connected) return view.notice("Not connected: not sent.");
  const to = privateTo;
  $("text").value = "";
  type();
  const done = to ? await request("whisper", { id: to.id, name: to.name }, text) : await request("say", text);
  if (!done && $("text").value === "") $("text").value = text;
}

$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!window.io) return view.refused("The Socket.IO client library did not load: see --client-dir.");
  me.name = $("name").value.trim();
  try {
    localStorage.setItem("name", me.name);
  } catch {
    // Without storage the name is asked again next time.
  }
  view.refused("");
  view.state("wait", "connecting…");
  socket ??= connect();
  socket.connect();
});
$("create").addEventListener("submit", (event) => {
  event.preventDefault();
  move($("newroom").value.trim());
  $("newroom").value = "";
});
$("say").addEventListener("submit", send);
$("text").addEventListener("input", type);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Escape") choose(undefined);
});
$("public").addEventListener("click", () => choose(undefined));
try {
  $("name").value = localStorage.getItem("name") ?? "";
} catch {
  // Storage is forbidden here.
}
$("name").focus();
