/** The loop that answers requests, on a source of requests that a test makes up. */

import assert from "node:assert/strict";
import { type RequestSource, serve, Spin, type Timer, together } from "../src/mount/loop.ts";
import { close } from "../src/sys/files.ts";
import { makePipe } from "../src/sys/messages.ts";
import { usableProcessors } from "../src/sys/system.ts";

/** A clock that a test turns. */
class Clock {
  milliseconds = 1000;
  readonly now = () => this.milliseconds;
}

/** How often a loop looks before it sleeps, when each look takes `microseconds`. */
function looksBeforeSleep(spin: Spin, clock: Clock, microseconds: number): number {
  let looks = 0;
  while (spin.wantsToLook()) {
    looks++;
    clock.milliseconds += microseconds / 1000;
    assert.ok(looks < 1000, "looks for ever");
  }
  spin.slept();
  return looks;
}

Deno.test("Spin: does not look before there was a request, and a while after one", () => {
  const clock = new Clock();
  const spin = new Spin(true, clock.now);
  assert.equal(spin.wantsToLook(), false);
  spin.answered();
  const looks = looksBeforeSleep(spin, clock, 1);
  assert.ok(looks >= 10 && looks <= 200, `${looks} looks`);
});

Deno.test("Spin: never looks with one processor", () => {
  const spin = new Spin(false, new Clock().now);
  for (let round = 0; round < 1000; round++) {
    spin.answered();
    assert.equal(spin.wantsToLook(), false);
    spin.slept();
  }
});

Deno.test("Spin: gives up when it never pays, but for a try now and then", () => {
  const clock = new Clock();
  const spin = new Spin(true, clock.now);
  const rounds = 2000;
  let looked = 0;
  for (let round = 0; round < rounds; round++) {
    spin.answered();
    if (looksBeforeSleep(spin, clock, 10) > 0) looked++;
    clock.milliseconds += 5;
  }
  assert.ok(looked >= rounds / 200, `${looked} tries are too few to notice a change`);
  assert.ok(looked <= rounds / 20, `${looked} tries are too many`);
});

Deno.test("Spin: looks again each time once a try has paid", () => {
  const clock = new Clock();
  const spin = new Spin(true, clock.now);
  for (let round = 0; round < 500; round++) {
    spin.answered();
    looksBeforeSleep(spin, clock, 10);
  }
  // Requests come at once from here on: found by looking, when it looks.
  let looking = 0;
  for (let round = 0; round < 500; round++) {
    spin.answered();
    if (spin.wantsToLook()) looking++;
    else spin.slept();
    clock.milliseconds += 0.005;
  }
  assert.ok(looking > 400, `${looking} of 500`);
});

/** A session whose requests are bytes in a pipe; it ends when there were `count`. */
class PipeSession implements RequestSource, Disposable {
  readonly #pipe = makePipe(4096);
  readonly #count: number;
  answered = 0;
  waiting = 0;

  constructor(count: number) {
    this.#count = count;
  }
  get fd(): number {
    return this.#pipe.reader;
  }
  get exited(): boolean {
    return this.answered >= this.#count;
  }
  receive(): boolean {
    return this.waiting > 0;
  }
  process(): void {
    this.waiting--;
    this.answered++;
  }
  [Symbol.dispose](): void {
    close(this.#pipe.reader);
    close(this.#pipe.writer);
  }
}

/** Fires every `milliseconds`. */
class Ticker implements Timer {
  fired = 0;
  #next: number;

  constructor(readonly milliseconds: number, readonly onFire: (fired: number) => void) {
    this.#next = performance.now() + milliseconds;
  }
  due(): number {
    return this.#next - performance.now();
  }
  fire(): void {
    this.#next = performance.now() + this.milliseconds;
    this.onFire(++this.fired);
  }
}

Deno.test("serve: a timer fires while nobody asks for anything", () => {
  using session = new PipeSession(1);
  // The third time brings a request, which ends the loop.
  const ticker = new Ticker(5, (fired) => {
    if (fired === 3) session.waiting = 1;
  });
  const start = performance.now();
  serve(session, { timer: ticker });
  const took = performance.now() - start;
  assert.equal(ticker.fired, 3);
  assert.ok(took >= 15 && took < 900, `${took} ms`);
});

Deno.test("serve: a timer fires in a stream of requests that never ends", () => {
  using session = new PipeSession(Infinity);
  session.waiting = Infinity;
  const done = new Error("fired");
  const ticker = new Ticker(5, () => {
    throw done;
  });
  const { process } = session;
  session.process = function () {
    process.call(this);
    if (this.answered > 10_000_000) throw new Error("the timer starved");
  };
  assert.throws(() => serve(session, { timer: ticker }), done);
  assert.ok(session.answered > 0);
});

Deno.test("serve: processors are kept awake for a stream of requests, and not after it", () => {
  using session = new PipeSession(1000);
  session.waiting = 999;
  const timer = new Ticker(200, () => session.waiting = 1);
  const calls = new Set<string>();
  const wakeLatency = {
    hold: () => void calls.add(`hold after ${session.answered}`),
    release: () => void calls.add(`release after ${session.answered}`),
  };
  serve(session, { timer, wakeLatency });
  // With one processor nothing is found by looking, and no other could wait.
  const isHeld = usableProcessors() > 1;
  assert.deepEqual(
    ["hold after 64", "hold after 65", "hold after 999"].map((call) => calls.has(call)),
    [false, isHeld, isHeld],
  );
  assert.ok(calls.has("release after 999"));
});

Deno.test("serve: what can wait is done once all is quiet, and nothing sleeps meanwhile", () => {
  using session = new PipeSession(500);
  session.waiting = 499;
  const done: number[] = [];
  const timer = new Ticker(400, () => session.waiting = 1);
  const whileQuiet = () => {
    if (done.length === 3) return false;
    done.push(session.answered);
    return true;
  };
  serve(session, { timer, whileQuiet });
  assert.deepEqual(done, [499, 499, 499]);
});

Deno.test("together: the time of the earliest, and only who is due is called", () => {
  const fired: string[] = [];
  const timer = (name: string, times: readonly (number | undefined)[]): Timer => {
    let at = 0;
    return { due: () => times[at], fire: () => (fired.push(name), void at++) };
  };
  assert.equal(together([]), undefined);
  const one = timer("one", [0, 7, undefined]);
  assert.equal(together([one]), one);
  const both = together([one, timer("two", [5, 0])]);
  assert.equal(both?.due(), 0);
  both?.fire();
  assert.deepEqual(fired, ["one"]);
  assert.equal(both?.due(), 5);
  assert.equal(together([timer("x", [undefined]), timer("y", [undefined])])?.due(), undefined);
});
