/** Waiting for what another process does. */

import assert from "node:assert/strict";

const PAUSE_MS = 25;
const SECONDS = 10;

/** Fails when it is still not so after ten seconds. */
export async function waitUntil(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + SECONDS * 1000;
  while (!condition()) {
    if (performance.now() > deadline) assert.fail(`${what} within ${SECONDS} seconds`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
