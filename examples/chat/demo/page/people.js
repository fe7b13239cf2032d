// Everybody in the mesh, as this page knows them: who they are and which room they are in.
// The server keeps no list: newcomers are announced to all, and every page answers with its own person.

export const standing = ["lobby", "help", "random"]; // rooms that are there when nobody is

export class People {
  #all = new Map(); // id -> {id, name, room}

  get(id) {
    return this.#all.get(id);
  }

  // set takes a person in, and returns what was known before.
  set(person) {
    const before = this.#all.get(person.id);
    this.#all.set(person.id, person);
    return before;
  }

  // delete forgets a person, and returns what was known.
  delete(id) {
    const before = this.#all.get(id);
    this.#all.delete(id);
    return before;
  }

  clear() {
    this.#all.clear();
  }

  in(room) {
    return [...this.#all.values()].filter((p) => p.room === room).sort((a, b) => a.name.localeCompare(b.name) || (a.id < b.id ? -1 : 1));
  }

  // rooms is every room with its number of people: the standing ones first.
  rooms(mine) {
    const counts = new Map([...standing, mine].map((room) => [room, 0]));
    for (const { room } of this.#all.values()) counts.set(room, (counts.get(room) ?? 0) + 1);
    const rest = [...counts.keys()].filter((room) => !standing.includes(room)).sort((a, b) => a.localeCompare(b));
    return [...standing, ...rest].map((room) => ({ room, count: counts.get(room) }));
  }
}

// Typing remembers who is typing; a person who falls silent is forgotten after a while.
export class Typing {
  #until = new Map(); // id -> timer
  #changed;

  constructor(changed) {
    this.#changed = changed;
  }

  set(id, on) {
    clearTimeout(this.#until.get(id));
    this.#until.delete(id);
    if (on) this.#until.set(id, setTimeout(() => this.set(id, false), 4000));
    this.#changed();
  }

  clear() {
    for (const id of [...this.#until.keys()]) this.set(id, false);
  }

  ids() {
    return [...this.#until.keys()];
  }
}
