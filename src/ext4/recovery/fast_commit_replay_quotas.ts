/**
 * Quotas after a replay of fast commits: what the inodes that it concerned use now, instead of what
 * they used before. The records do not tell, and the kernel leaves the quotas as they were.
 */

import { EXT4_ROOT_INO } from "../../disk/inode.ts";
import type { FileSystem } from "../filesystem.ts";
import type { Inode } from "../inode/inode.ts";
import { wholeUse } from "../quota/accounting.ts";
import { type QuotaIds, Quotas, type QuotaUse } from "../quota/quotas.ts";

/** What an inode uses, and on whose account. */
interface Account {
  readonly ids: QuotaIds;
  readonly use: QuotaUse;
}

export class ReplayedQuotas {
  readonly #fs: FileSystem;
  /** By inode number; undefined for a new inode. */
  readonly #before = new Map<number, Account | undefined>();
  #quotas: Quotas | undefined;

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** Before the first change of an inode; undefined for a number that none has. */
  note(ino: number, inode: Inode | undefined): void {
    this.#before.set(ino, inode && this.#account(inode));
  }

  /** The quota files. Throws EUCLEAN where one cannot be used. */
  open(): Quotas {
    return this.#quotas ??= new Quotas(this.#fs, new Set());
  }

  /** Brings the quota files up to date. */
  settle(): void {
    const quotas = this.open();
    const options = { now: 0, isExempt: true };
    for (const [ino, before] of this.#before) {
      if (quotas.isQuotaFile(ino)) continue;
      const after = this.#now(ino);
      this.#fs.change((handle) => {
        if (before !== undefined) quotas.refund(handle, before.ids, before.use);
        if (after !== undefined) quotas.charge(handle, after.ids, after.use, options);
      });
    }
  }

  #now(ino: number): Account | undefined {
    const raw = this.#fs.rawInode(ino);
    return raw.linksCount === 0 ? undefined : this.#account(this.#fs.inode(ino));
  }

  #account(inode: Inode): Account | undefined {
    const { firstInode } = this.#fs.superblock;
    if (inode.ino < firstInode && inode.ino !== EXT4_ROOT_INO) return undefined;
    return {
      ids: { user: inode.uid, group: inode.gid, project: inode.projectId },
      use: wholeUse(this.#fs, inode),
    };
  }
}
