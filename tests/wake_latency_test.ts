/** What is asked of the kernel about processors that wait, with a file in place of its device. */

import assert from "node:assert/strict";
import { WakeLatency } from "../src/mount/wake_latency.ts";
import { SILENT } from "../src/sys/log.ts";
import { TempDir } from "./support/run.ts";

/** How many descriptors of this process lead to a file. */
function descriptorsOf(path: string): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`) === path;
    } catch {
      return false;
    }
  }).length;
}

/** A log that keeps its warnings. */
function warnings() {
  const messages: string[] = [];
  return { messages, log: { ...SILENT, warn: (message: string) => messages.push(message) } };
}

Deno.test("WakeLatency: the wish is written once, and lasts until it is released", () => {
  using folder = new TempDir();
  const device = folder.join("device");
  Deno.writeFileSync(device, new Uint8Array());
  const latency = new WakeLatency(70000, SILENT, device);
  assert.equal(descriptorsOf(device), 0);
  latency.hold();
  latency.hold();
  assert.equal(latency.isHeld, true);
  assert.equal(descriptorsOf(device), 1);
  assert.deepEqual([...Deno.readFileSync(device)], [0x70, 0x11, 0x01, 0x00]);
  latency.release();
  assert.equal(latency.isHeld, false);
  assert.equal(descriptorsOf(device), 0);
  {
    using again = latency;
    again.hold();
    assert.equal(descriptorsOf(device), 1);
  }
  assert.equal(descriptorsOf(device), 0);
});

Deno.test("WakeLatency: off asks for nothing", () => {
  using folder = new TempDir();
  const device = folder.join("device");
  Deno.writeFileSync(device, new Uint8Array());
  const latency = new WakeLatency("off", SILENT, device);
  latency.hold();
  assert.equal(latency.isHeld, false);
  assert.equal(descriptorsOf(device), 0);
});

Deno.test("WakeLatency: what cannot be had is told of once, to whom asked for it by name", () => {
  using folder = new TempDir();
  const device = folder.join("missing");
  const named = warnings();
  const latency = new WakeLatency(0, named.log, device);
  latency.hold();
  latency.hold();
  assert.equal(latency.isHeld, false);
  assert.equal(named.messages.length, 1);
  assert.match(named.messages[0], /wake_latency: .*missing/);

  const unnamed = warnings();
  new WakeLatency("auto", unnamed.log, device).hold();
  assert.deepEqual(unnamed.messages, []);
});
