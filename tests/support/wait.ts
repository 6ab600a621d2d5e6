/** Waiting for what another process does. */

import assert from "node:assert/strict";

const PAUSE_MS = 25;
const SECONDS = 30;

/** Fails when it is still not so after half a minute, which is long on a busy machine, too. */
export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  what: string,
): Promise<void> {
  const deadline = performance.now() + SECONDS * 1000;
  while (!await condition()) {
    if (performance.now() > deadline) assert.fail(`${what} within ${SECONDS} seconds`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
