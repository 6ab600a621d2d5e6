/**
 * The changes of one operation, such as a rename: all of them become part of the running
 * transaction, or none. Whoever changes metadata is given a handle and announces each block before
 * the first byte of it changes; when the operation throws, every announced block and everything
 * else that was announced is put back as it was.
 *
 * Two things are undone apart from each other: which blocks the transaction consists of, in the
 * opposite order of the calls, and then the bytes of the blocks, from images taken before the
 * first change.
 */

import type { Block, BlockCache } from "../block/block_cache.ts";
import type { ImagePool } from "./image_pool.ts";

/** Fills in the checksum of a block; must not throw. */
export type Seal = (block: Block) => void;

/** What an operation keeps in memory beside blocks, while the operation lasts. */
export interface Participant {
  /** Puts back what was there when the participant joined. Must not throw. */
  undo(): void;
  /** Called when the operation has succeeded, and may still change blocks. */
  finish?(handle: Handle): void;
}

/** How a block was before the operation. */
interface BeforeImage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly verifiedAs: number;
  readonly seal: Seal | undefined;
  readonly isSealed: boolean;
  readonly wasCached: boolean;
}

/** The part of a transaction that handles write to. */
export interface TransactionBlocks {
  /** Blocks that the transaction changed, each held in the cache. */
  readonly blocks: Map<number, Block>;
  /** Blocks that stopped being metadata: what the log still has of them must not be replayed. */
  readonly revoked: Set<number>;
  /** Memory for images of blocks. */
  readonly images: ImagePool;
}

/** The operation needs more blocks than a transaction can have. */
export class TransactionFull extends Error {}

export class Handle {
  readonly #cache: BlockCache;
  readonly #transaction: TransactionBlocks;
  readonly #maxBlocks: number;
  readonly #before = new Map<Block, BeforeImage>();
  readonly #participants = new Map<object, Participant>();
  /** Participants whose `finish` is still to be called. */
  readonly #unfinished = new Set<Participant>();
  readonly #undo: (() => void)[] = [];
  /** Blocks that left the transaction, held as long as that can be undone. */
  readonly #forgotten: Block[] = [];

  /** @param maxBlocks how large the transaction may become */
  constructor(cache: BlockCache, transaction: TransactionBlocks, maxBlocks: number) {
    this.#cache = cache;
    this.#transaction = transaction;
    this.#maxBlocks = maxBlocks;
  }

  /**
   * Announces changes to a block of metadata. Call it before the first change in each operation;
   * further calls cost little.
   * @param seal fills in the block's checksum at the commit; without it, an earlier one stays
   */
  modify(block: Block, seal?: Seal): void {
    this.#enter(block);
    this.#keepImage(block, true);
    if (seal !== undefined) block.seal = seal;
    block.isSealed = block.seal === undefined;
  }

  /** A block that becomes metadata: all zeros, whatever the device holds. As modify otherwise. */
  create(number: number, seal?: Seal): Block {
    const existing = this.#cache.peek(number);
    if (existing === undefined) this.#requireRoom(number);
    else {
      this.#enter(existing);
      this.#keepImage(existing, true);
    }
    const block = this.#cache.create(number);
    if (existing === undefined) {
      this.#enter(block);
      this.#keepImage(block, false);
    }
    block.seal = seal;
    block.isSealed = seal === undefined;
    return block;
  }

  /**
   * A block of metadata is freed: it is not written any more, and what the log has of it must not
   * come back over what the block holds next.
   */
  forget(number: number): void {
    const { blocks, revoked } = this.#transaction;
    const block = blocks.get(number);
    if (block !== undefined) {
      blocks.delete(number);
      this.#forgotten.push(block);
      this.#undo.push(() => blocks.set(number, block));
    }
    if (revoked.has(number)) return;
    revoked.add(number);
    this.#undo.push(() => revoked.delete(number));
  }

  /** Calls `undo` when the operation fails. Calls are made in the opposite order. */
  onUndo(undo: () => void): void {
    this.#undo.push(undo);
  }

  /**
   * Takes a participant into the operation, once for each `key`: `join` is not called again for a
   * key that is in it already. Whoever enlists after its `finish` was called, because the `finish`
   * of another one changed it, finishes once more.
   */
  enlist(key: object, join: () => Participant): void {
    let participant = this.#participants.get(key);
    if (participant === undefined) {
      participant = join();
      this.#participants.set(key, participant);
    }
    this.#unfinished.add(participant);
  }

  /** The operation succeeded. Participants may still throw: then it failed after all. */
  finish(): void {
    // One participant may make another one join: a Set goes on to what is added meanwhile.
    for (const participant of this.#unfinished) {
      this.#unfinished.delete(participant);
      participant.finish?.(this);
    }
    for (const block of this.#forgotten) this.#cache.release(block);
    for (const { bytes } of this.#before.values()) this.#transaction.images.giveBack(bytes);
  }

  /** The operation failed: everything is as it was before it. */
  undo(): void {
    for (const undo of this.#undo.reverse()) undo();
    for (const participant of [...this.#participants.values()].reverse()) participant.undo();
    for (const [block, before] of this.#before) this.#restore(block, before);
  }

  /** Makes a block part of the transaction. */
  #enter(block: Block): void {
    const { blocks, revoked } = this.#transaction;
    const { number } = block;
    const known = blocks.get(number);
    if (known === block) return;
    // The changes of one of two copies would be lost.
    if (known !== undefined) throw new Error(`block ${number}: an old copy was changed`);
    this.#requireRoom(number);
    this.#cache.hold(block);
    blocks.set(number, block);
    this.#undo.push(() => {
      blocks.delete(number);
      this.#cache.release(block);
    });
    // A revoke record would keep this transaction's own copy from being replayed, too.
    if (revoked.delete(number)) this.#undo.push(() => revoked.add(number));
  }

  #requireRoom(number: number): void {
    const { blocks } = this.#transaction;
    if (blocks.size >= this.#maxBlocks && !blocks.has(number)) throw new TransactionFull();
  }

  #keepImage(block: Block, wasCached: boolean): void {
    if (this.#before.has(block)) return;
    this.#before.set(block, {
      bytes: this.#transaction.images.copyOf(block.bytes),
      verifiedAs: block.verifiedAs,
      seal: block.seal,
      isSealed: block.isSealed,
      wasCached,
    });
  }

  #restore(block: Block, before: BeforeImage): void {
    block.bytes.set(before.bytes);
    this.#transaction.images.giveBack(before.bytes);
    block.verifiedAs = before.verifiedAs;
    block.seal = before.seal;
    block.isSealed = before.isSealed;
    if (!before.wasCached) this.#cache.drop(block.number);
  }
}
