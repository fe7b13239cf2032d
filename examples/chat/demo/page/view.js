// What is seen: every text goes into the page as text, never as HTML.

const $ = (id) => document.getElementById(id);

function element(tag, props = {}, ...children) {
  const el = Object.assign(document.createElement(tag), props);
  el.append(...children);
  return el;
}

// hue is a colour of a person, the same on every page.
function hue(id) {
  return parseInt(id.slice(0, 6), 16) % 360 || 0;
}

function avatar(person) {
  const first = [...person.name][0]?.toUpperCase() ?? "?";
  const el = element("span", { className: "avatar", ariaHidden: "true" }, first);
  el.style.setProperty("--hue", hue(person.id));
  return el;
}

export function state(kind, text) {
  $("state").dataset.state = kind;
  $("state").textContent = text;
}

export function refused(text) {
  $("refused").textContent = text;
}

export function entered(inside) {
  $("welcome").hidden = inside;
  $("chat").hidden = !inside;
  $(inside ? "text" : "name").focus();
}

export function room(name) {
  $("room").textContent = name;
  document.title = `${name} · siomesh chat`;
}

// fill draws a list of buttons again. Those that stay keep their element, for a click or the keyboard's focus may be on it.
function fill(list, buttons) {
  const focused = document.activeElement;
  const before = new Map([...list.children].map((item) => [item.firstChild.dataset.key, item]));
  const items = buttons.map((button) => {
    const item = before.get(button.dataset.key);
    before.delete(button.dataset.key);
    return item ? renewed(item, button) : element("li", {}, button);
  });
  for (const item of before.values()) item.remove();
  items.forEach((item, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  if (list.contains(focused)) focused.focus();
}

// renewed is an item whose button looks and acts like another one.
function renewed(item, fresh) {
  const button = item.firstChild;
  for (const name of ["title", "disabled", "ariaCurrent", "onclick"]) button[name] = fresh[name];
  if (button.innerHTML !== fresh.innerHTML) button.replaceChildren(...fresh.childNodes);
  return item;
}

export function rooms(list, current, choose) {
  fill($("rooms"), list.map(({ room, count }) => {
    const button = element("button", { type: "button", title: `${count} here` },
      element("span", { className: "hash", ariaHidden: "true" }, "#"),
      element("span", { className: "grow" }, room),
      element("span", { className: "count" }, String(count)));
    button.dataset.key = room;
    if (room === current) button.ariaCurrent = "true";
    button.onclick = () => choose(room);
    return button;
  }));
}

export function people(list, me, typing, choose) {
  $("howmany").textContent = String(list.length);
  fill($("people"), list.map((person) => {
    const mine = person.id === me;
    const name = element("span", { className: "grow" }, person.name);
    const button = element("button", { type: "button", disabled: mine }, avatar(person), name);
    button.dataset.key = person.id;
    if (mine) name.append(element("i", {}, " you"));
    else button.title = `Write to ${person.name} alone`;
    if (typing.includes(person.id)) button.append(element("span", { className: "dots", ariaHidden: "true" }, "•••"));
    button.onclick = () => choose(person);
    return button;
  }));
}

export function typing(names) {
  const [a, b] = names;
  if (names.length === 0) $("typing").textContent = "";
  else if (names.length === 1) $("typing").textContent = `${a} is typing…`;
  else if (names.length === 2) $("typing").textContent = `${a} and ${b} are typing…`;
  else $("typing").textContent = "several people are typing…";
}

export function privateTo(person) {
  $("private").hidden = !person;
  $("privateto").textContent = person?.name ?? "";
  $("text").placeholder = person ? `To ${person.name} alone` : "Say something";
  $("text").focus();
}

// add appends a line and follows it, unless the reader has scrolled up.
function add(line) {
  const log = $("log");
  const follow = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
  log.append(line);
  while (log.children.length > 500) log.firstElementChild.remove();
  if (follow) log.scrollTop = log.scrollHeight;
}

export function notice(text) {
  add(element("li", { className: "notice" }, text));
}

export function message({ from, to, text, at }, me) {
  const mine = from.id === me;
  const when = new Date(at);
  const clock = element("time", { dateTime: when.toISOString() }, when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  const about = element("p", { className: "about" }, element("b", {}, mine ? "You" : from.name));
  if (to) about.append(element("span", { className: "tag" }, mine ? `only to ${to.name}` : "only to you"));
  about.append(clock);
  const classes = ["message", mine && "mine", to && "whisper", follows(from, to) && "follows"];
  const line = element("li", { className: classes.filter(Boolean).join(" ") },
    avatar(from), element("div", { className: "bubble" }, about, element("p", { className: "text" }, text)));
  line.dataset.from = from.id;
  add(line);
}

// follows tells whether the last line is of the same person, so that the name need not be said again.
function follows(from, to) {
  const last = $("log").lastElementChild;
  return !to && last?.dataset.from === from.id && !last.classList.contains("whisper");
}

export function clearLog() {
  $("log").replaceChildren();
}
