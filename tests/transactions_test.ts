/** Operations and the running transaction: what is undone, what is committed, and when. */

import assert from "node:assert/strict";
import { type Block, BlockCache } from "../src/block/block_cache.ts";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { type Handle, type Participant, TransactionFull } from "../src/jbd2/handle.ts";
import { Transactions, type TransactionStore } from "../src/jbd2/transactions.ts";
import { Errno } from "../src/sys/errno.ts";
import { fail, FsError } from "../src/sys/fs_error.ts";
import { isFsError } from "./support/errors.ts";
import { Random } from "./support/random.ts";

const BLOCK_SIZE = 64;
const BLOCKS = 100;

/** What a commit was given. */
interface Commit {
  /** First byte of each block. */
  readonly blocks: Readonly<Record<number, number>>;
  readonly revoked: readonly number[];
}

class FakeStore implements TransactionStore {
  readonly commits: Commit[] = [];
  flushes = 0;
  writeBacks = 0;
  abortedBy: FsError | undefined;
  /** Thrown by the next call, if set. */
  failure: Error | undefined;
  /** Blocks that the store itself holds, as a journal does. */
  readonly held = new Map<number, Block>();
  cache: BlockCache | undefined;

  constructor(readonly maxBlocks = 40) {}

  commit(blocks: ReadonlyMap<number, Block>, revoked: ReadonlySet<number>): void {
    this.#mayFail();
    this.commits.push({
      blocks: Object.fromEntries(
        [...blocks.values()].map(({ number, bytes }) => [number, bytes[0]]),
      ),
      revoked: [...revoked].sort((a, b) => a - b),
    });
    for (const number of revoked) assert.ok(!blocks.has(number), "a revoked block was committed");
    for (const block of blocks.values()) assert.ok(block.isSealed, "not sealed");
    if (this.cache === undefined) return;
    for (const number of revoked) {
      const block = this.held.get(number);
      if (block !== undefined) this.cache.release(block);
      this.held.delete(number);
    }
    for (const block of blocks.values()) {
      if (!this.held.has(block.number)) this.cache.hold(block);
      this.held.set(block.number, block);
    }
  }

  flush(): void {
    this.#mayFail();
    this.flushes++;
  }

  writeBack(): void {
    this.#mayFail();
    this.writeBacks++;
  }

  aborted(reason: FsError): void {
    this.abortedBy = reason;
  }

  #mayFail(): void {
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

interface Setup {
  readonly cache: BlockCache;
  readonly store: FakeStore;
  readonly transactions: Transactions;
  /** Milliseconds. */
  time: number;
}

/** Each block of the device is filled with its number. */
function setUp(maxBlocks?: number): Setup {
  const bytes = new Uint8Array(BLOCK_SIZE * BLOCKS);
  for (let block = 0; block < BLOCKS; block++) {
    bytes.fill(block, block * BLOCK_SIZE, (block + 1) * BLOCK_SIZE);
  }
  const cache = new BlockCache(new MemoryDevice(bytes), BLOCK_SIZE, BLOCKS, 16 * BLOCK_SIZE);
  const store = new FakeStore(maxBlocks);
  const setup = { cache, store, time: 1000 };
  const options = { commitInterval: 5000, now: () => setup.time };
  return Object.assign(setup, { transactions: new Transactions(cache, store, options) });
}

/** Announces a change and makes it. */
function change(cache: BlockCache, handle: Handle, number: number, value: number): void {
  const block = cache.read(number);
  handle.modify(block);
  block.bytes.fill(value);
}

const STOP = fail("ENOSPC", "stop");

/** Runs an operation that fails at its end. */
function runAndFail(transactions: Transactions, operation: (handle: Handle) => void): void {
  assert.throws(() =>
    transactions.run((handle) => {
      operation(handle);
      throw STOP;
    }), STOP);
}

Deno.test("Transactions.run: changes are committed once, sealed, in their last state", () => {
  const { cache, store, transactions } = setUp();
  let seals = 0;
  const seal = (block: Block) => {
    seals++;
    block.bytes[1] = 99;
  };
  const result = transactions.run((handle) => {
    const block = cache.read(3);
    handle.modify(block, seal);
    block.bytes[0] = 200;
    assert.equal(block.isSealed, false);
    return "result";
  });
  assert.equal(result, "result");
  transactions.run((handle) => change(cache, handle, 3, 201));
  transactions.run((handle) => {
    handle.create(50).bytes[0] = 7;
  });
  assert.equal(seals, 0);
  transactions.commit();
  assert.equal(seals, 1);
  assert.equal(cache.read(3).bytes[1], 99);
  assert.deepEqual(store.commits, [{ blocks: { 3: 201, 50: 7 }, revoked: [] }]);
  assert.equal(cache.read(3).holds, 0);
  transactions.commit();
  assert.equal(store.commits.length, 1, "an empty transaction was committed");
});

Deno.test("Transactions.run: a failed operation is undone, block by block", () => {
  const { cache, store, transactions } = setUp();
  transactions.run((handle) => change(cache, handle, 1, 101));
  const seal = () => {};
  runAndFail(transactions, (handle) => {
    change(cache, handle, 1, 102);
    handle.modify(cache.read(1), seal);
    change(cache, handle, 2, 103);
    handle.create(60).bytes.fill(104);
    handle.create(2).bytes.fill(105);
  });
  assert.equal(cache.read(1).bytes[5], 101);
  assert.equal(cache.read(1).seal, undefined);
  assert.equal(cache.read(1).isSealed, true);
  assert.equal(cache.read(2).bytes[5], 2);
  assert.equal(cache.read(2).holds, 0);
  assert.equal(cache.peek(60), undefined, "a block that the device does not have like this");
  transactions.commit();
  assert.deepEqual(store.commits, [{ blocks: { 1: 101 }, revoked: [] }]);
});

Deno.test("Handle.forget: in one operation with modify and create, kept and undone", () => {
  const steps: Readonly<Record<string, (cache: BlockCache, handle: Handle) => void>> = {
    modify: (cache, handle) => change(cache, handle, 5, 150),
    create: (_, handle) => void handle.create(5).bytes.fill(160),
    forget: (_, handle) => handle.forget(5),
  };
  const names = Object.keys(steps);
  const orders = names.flatMap((a) => names.flatMap((b) => names.map((c) => [a, b, c])));
  for (const wasChanged of [false, true]) {
    for (const order of orders) {
      const what = `${wasChanged ? "changed before, " : ""}${order}`;
      const { cache, store, transactions } = setUp();
      if (wasChanged) transactions.run((handle) => change(cache, handle, 5, 140));
      const all = (handle: Handle) => order.forEach((name) => steps[name](cache, handle));

      runAndFail(transactions, all);
      assert.equal(cache.read(5).bytes[3], wasChanged ? 140 : 5, what);
      assert.equal(cache.read(5).holds, wasChanged ? 1 : 0, what);
      assert.equal(transactions.isDirty, wasChanged, what);

      transactions.run(all);
      transactions.commit();
      const last = order[2];
      const values = { modify: 150, create: 160, forget: 0 };
      assert.deepEqual(store.commits, [
        last === "forget"
          ? { blocks: {}, revoked: [5] }
          : { blocks: { 5: values[last as keyof typeof values] }, revoked: [] },
      ], what);
      // What is forgotten is read anew: somebody else may have written there.
      assert.equal(cache.peek(5)?.holds, last === "forget" ? undefined : 0, what);
    }
  }
});

Deno.test("Handle: blocks that the store holds stay held, and are let go when forgotten", () => {
  const { cache, store, transactions } = setUp();
  store.cache = cache;
  transactions.run((handle) => change(cache, handle, 5, 150));
  transactions.commit();
  assert.equal(cache.read(5).holds, 1);
  runAndFail(transactions, (handle) => {
    change(cache, handle, 5, 151);
    handle.forget(5);
    handle.create(5).bytes.fill(152);
  });
  assert.equal(cache.read(5).bytes[0], 150);
  assert.equal(cache.read(5).holds, 1);
  transactions.run((handle) => handle.forget(5));
  assert.equal(cache.read(5).bytes[0], 150, "still there: the commit may not come");
  transactions.commit();
  assert.equal(store.held.size, 0);
  assert.equal(cache.peek(5), undefined);
  // And again as metadata.
  transactions.run((handle) => void handle.create(5).bytes.fill(153));
  transactions.commit();
  assert.deepEqual(store.commits.at(-1), { blocks: { 5: 153 }, revoked: [] });
});

Deno.test("Transactions: random operations, some failing, against a simple model", () => {
  for (let seed = 1; seed <= 50; seed++) {
    const random = new Random(seed);
    const { cache, store, transactions } = setUp();
    store.cache = cache;
    /** What each block holds; undefined: forgotten. */
    let model = new Map<number, number | undefined>();
    for (let step = 0; step < 200; step++) {
      const draft = new Map(model);
      const fails = random.below(3) === 0;
      const operation = (handle: Handle) => {
        for (let action = 0; action < 6; action++) {
          const block = random.below(12);
          const value = random.below(256);
          const kind = random.below(3);
          if (kind === 0) {
            handle.forget(block);
            draft.set(block, undefined);
          } else if (kind === 1 || draft.get(block) === undefined && draft.has(block)) {
            handle.create(block).bytes.fill(value);
            draft.set(block, value);
          } else {
            change(cache, handle, block, value);
            draft.set(block, value);
          }
        }
      };
      if (fails) runAndFail(transactions, operation);
      else {
        transactions.run(operation);
        model = draft;
      }
      for (const [block, value] of model) {
        if (value !== undefined) assert.equal(cache.read(block).bytes[9], value, `seed ${seed}`);
      }
      if (random.below(10) === 0) {
        transactions.commit();
        for (const block of store.held.values()) assert.equal(block.holds, 1, `seed ${seed}`);
      }
    }
    transactions.commit();
    for (const [block, value] of model) {
      assert.equal(store.held.get(block)?.bytes[0], value, `seed ${seed}`);
    }
  }
});

Deno.test("Handle.enlist: participants finish in order, once more when changed later, or undo", () => {
  const { cache, transactions } = setUp();
  const calls: string[] = [];
  const participant = (name: string, finish?: (handle: Handle) => void): Participant => ({
    undo: () => calls.push(`undo ${name}`),
    finish: (handle) => {
      calls.push(`finish ${name}`);
      finish?.(handle);
    },
  });
  const [a, b, c] = [{}, {}, {}];
  let again = true;
  const operation = (handle: Handle) => {
    handle.enlist(a, () => participant("a"));
    handle.enlist(a, () => assert.fail("joined twice"));
    handle.onUndo(() => calls.push("first"));
    handle.onUndo(() => calls.push("second"));
    handle.enlist(b, () =>
      participant("b", () => {
        change(cache, handle, 4, 44);
        if (again) handle.enlist(a, () => assert.fail("joined twice"));
        handle.enlist(c, () => participant("c"));
        again = false;
      }));
  };
  transactions.run(operation);
  assert.deepEqual(calls, ["finish a", "finish b", "finish a", "finish c"]);
  assert.equal(cache.read(4).bytes[0], 44);
  calls.length = 0;
  runAndFail(transactions, operation);
  assert.deepEqual(calls, ["second", "first", "undo b", "undo a"]);
});

Deno.test("Handle.finish: a participant that fails undoes the operation", () => {
  const { cache, transactions } = setUp();
  const calls: string[] = [];
  assert.throws(() =>
    transactions.run((handle) => {
      handle.forget(7);
      change(cache, handle, 4, 44);
      handle.enlist({}, () => ({
        undo: () => calls.push("undo"),
        finish() {
          change(cache, handle, 5, 55);
          throw STOP;
        },
      }));
    }), STOP);
  assert.deepEqual(calls, ["undo"]);
  assert.equal(cache.read(4).bytes[0], 4);
  assert.equal(cache.read(5).bytes[0], 5);
  assert.equal(transactions.isDirty, false);
});

Deno.test("Transactions.run: commits when half full, and again when an operation does not fit", () => {
  const { cache, store, transactions } = setUp(40);
  const changeMany = (handle: Handle, from: number, count: number) => {
    for (let block = from; block < from + count; block++) change(cache, handle, block, 1);
  };
  transactions.run((handle) => changeMany(handle, 0, 20));
  transactions.run((handle) => changeMany(handle, 20, 1));
  assert.equal(store.commits.length, 0);
  transactions.run((handle) => changeMany(handle, 21, 1));
  assert.equal(store.commits.length, 1);
  let attempts = 0;
  transactions.run((handle) => {
    attempts++;
    changeMany(handle, 30, 35);
  });
  assert.equal(attempts, 2);
  assert.deepEqual(store.commits[1], { blocks: { 21: 1 }, revoked: [] });
  transactions.commit();
  assert.equal(Object.keys(store.commits[2].blocks).length, 35);
  // One in eight blocks is kept for the work before a commit.
  assert.throws(
    () => transactions.run((handle) => changeMany(handle, 0, 36)),
    isFsError("ENOSPC", /journal is too small/),
  );
  assert.equal(transactions.isDirty, false);
  assert.throws(
    () =>
      transactions.run((handle) => {
        changeMany(handle, 0, 35);
        handle.create(99);
      }),
    isFsError("ENOSPC"),
  );
  assert.equal(cache.peek(99), undefined, "zeros that nobody has written");
});

Deno.test("Transactions.run: runs again after a commit that frees space", () => {
  const { cache, store, transactions } = setUp();
  let waiting = true;
  transactions.onOutOfSpace(() => waiting);
  transactions.onAfterCommit(() => waiting = false);
  transactions.run((handle) => change(cache, handle, 1, 1));
  let attempts = 0;
  transactions.run((handle) => {
    attempts++;
    change(cache, handle, 2, 22);
    if (waiting) throw fail("ENOSPC", "full");
  });
  assert.equal(attempts, 2);
  assert.deepEqual(store.commits, [{ blocks: { 1: 1 }, revoked: [] }]);
  assert.throws(() =>
    transactions.run(() => {
      throw fail("ENOSPC", "full");
    }), isFsError("ENOSPC"));
  assert.equal(store.commits.length, 1);
});

Deno.test("Transactions: an operation or a commit inside an operation is a mistake", () => {
  const { transactions } = setUp();
  assert.throws(() => transactions.run(() => transactions.run(() => {})), /inside an operation/);
  assert.throws(() => transactions.run(() => transactions.commit()), /inside an operation/);
  transactions.run(() => {});
});

Deno.test("Transactions.due: from the first change or data to the commit", () => {
  const setup = setUp();
  const { cache, store, transactions } = setup;
  assert.equal(transactions.due(), undefined);
  transactions.run(() => {});
  assert.equal(transactions.due(), undefined);
  transactions.run((handle) => change(cache, handle, 1, 1));
  setup.time += 2000;
  transactions.run((handle) => change(cache, handle, 2, 1));
  assert.equal(transactions.due(), 3000);
  setup.time += 7000;
  assert.equal(transactions.due(), 0);
  transactions.commit();
  assert.equal(transactions.due(), undefined);
  transactions.noteData();
  assert.equal(transactions.due(), 5000);
  transactions.commit();
  assert.equal(store.flushes, 1);
  assert.equal(transactions.due(), undefined, "the loop would never sleep");
  transactions.commit();
  assert.equal(store.flushes, 1);
});

Deno.test("Transactions.onBeforeCommit: has room of its own, and joins the commit", () => {
  const { cache, store, transactions } = setUp(40);
  transactions.onBeforeCommit((handle) => {
    for (let block = 80; block < 85; block++) change(cache, handle, block, 8);
  });
  transactions.run((handle) => {
    for (let block = 0; block < 35; block++) change(cache, handle, block, 1);
  });
  transactions.commit();
  assert.equal(Object.keys(store.commits[0].blocks).length, 40);
  transactions.commit();
  assert.equal(store.commits.length, 1);
});

Deno.test("Transactions.commit: what fails before it, in it or behind it stops all writing", () => {
  const damage = fail("EUCLEAN", "damage");
  const broken = new TypeError("a mistake of ours");
  const ways: Readonly<Record<string, (setup: Setup, error: Error) => void>> = {
    "before": ({ transactions }, error) =>
      transactions.onBeforeCommit(() => {
        throw error;
      }),
    "in": ({ store }, error) => store.failure = error,
    "behind": ({ transactions }, error) =>
      transactions.onAfterCommit(() => {
        throw error;
      }),
  };
  for (const [when, prepare] of Object.entries(ways)) {
    for (const error of [damage, broken]) {
      const setup = setUp();
      const { cache, store, transactions } = setup;
      transactions.run((handle) => change(cache, handle, 1, 77));
      prepare(setup, error);
      // Whoever waits for a commit can do nothing with a mistake, but has to hear that it failed.
      const isTold = (thrown: unknown) =>
        thrown === transactions.failure && (error === broken || thrown === error);
      assert.throws(() => transactions.commit(), isTold, when);
      assert.ok(transactions.failure !== undefined, when);
      assert.equal(store.abortedBy, transactions.failure, when);
      assert.throws(() => transactions.run(() => {}), isFsError("EROFS"), when);
      assert.throws(() => transactions.commit(), isFsError("EROFS"), when);
      assert.throws(() => transactions.writeBack(), isFsError("EROFS"), when);
      assert.equal(transactions.due(), undefined, when);
      assert.equal(store.commits.length, when === "behind" ? 1 : 0, when);
      assert.equal(cache.read(1).bytes[0], 77, "what is read must stay as it was");
    }
  }
});

Deno.test("Transactions.onBeforeCommit: too large for the transaction fails as ENOSPC", () => {
  const { cache, transactions } = setUp(8);
  transactions.onBeforeCommit((handle) => {
    for (let block = 80; block < 90; block++) change(cache, handle, block, 8);
  });
  transactions.run((handle) => change(cache, handle, 1, 1));
  assert.throws(() => transactions.commit(), isFsError("ENOSPC"));
  assert.ok(!(transactions.failure instanceof TransactionFull));
});

Deno.test("Transactions.abort: the first reason counts; one that is no error is not noted", () => {
  const { store, transactions } = setUp();
  transactions.abort(fail("EIO", "shut down"), false);
  transactions.abort(fail("EUCLEAN", "later"));
  assert.equal(store.abortedBy, undefined);
  assert.equal(transactions.failure?.errno, Errno.EIO);
  assert.throws(() => transactions.requireWritable(), isFsError("EROFS", /shut down/));
});

Deno.test("Transactions.writeBack: commits first", () => {
  const { cache, store, transactions } = setUp();
  transactions.run((handle) => change(cache, handle, 1, 1));
  transactions.writeBack();
  assert.equal(store.commits.length, 1);
  assert.equal(store.writeBacks, 1);
});

Deno.test("BlockCache: held blocks stay, and leave their room to others", () => {
  const { cache } = setUp();
  const held = Array.from({ length: 30 }, (_, number) => cache.read(number));
  for (const block of held) cache.hold(block);
  const others = Array.from({ length: 16 }, (_, index) => cache.read(40 + index));
  for (const block of [...held, ...others]) assert.equal(cache.peek(block.number), block);
  for (let number = 60; number < 100; number++) cache.read(number);
  for (const block of held) assert.equal(cache.peek(block.number), block);
  assert.ok(others.filter(({ number }) => cache.peek(number) !== undefined).length < 16);
  for (const block of held) cache.release(block);
  assert.throws(() => cache.release(held[0]), /released too often/);
  for (let number = 40; number < 100; number++) cache.read(number);
  assert.ok(held.some(({ number }) => cache.peek(number) === undefined), "the cache never shrinks");
});
