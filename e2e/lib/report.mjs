// What the programs of this folder print, for node_test.go to read: a line of JSON for each scenario, {"name","ok","ms","error"}.

import { inspect } from "node:util";

// patience is how many milliseconds a scenario has, unless it says otherwise.
export const patience = 30_000;

// report plays a scenario, prints its line, and returns whether it passed.
export async function report(name, play) {
  const began = performance.now();
  const result = { name, ok: true };
  try {
    await play();
  } catch (err) {
    Object.assign(result, { ok: false, error: inspect(err) });
  }
  result.ms = Math.round(performance.now() - began);
  console.log(JSON.stringify(result));
  return result.ok;
}

// within fails if what is under way is not done in time, and says what that was waiting for.
export async function within(ms, underWay, waiting = () => []) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      const what = waiting().join(", ");
      reject(new Error(`not done after ${ms} ms${what && `, waiting for: ${what}`}`));
    }, ms);
  });
  try {
    await Promise.race([underWay, late]);
  } finally {
    clearTimeout(timer);
  }
}
