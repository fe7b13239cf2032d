import assert from "node:assert/strict";

// ABC-006: before the scenario.
export async function speaks(t) {
  assert.ok(t);
}

export const listens = async (t) => {
  assert.ok(t); // ABC-001, -006
};
