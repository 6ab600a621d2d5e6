/**
 * Multiple mount protection (kernel documentation: filesystems/ext4/mmp.rst): hosts that share a
 * disk tell one another through a block of it that they have the file system mounted. Whoever has
 * it counts mmp_seq up every few seconds; whoever wants it waits, and looks whether it changes.
 *
 * The block is read and written past the cache and the journal.
 */

import { crc32c } from "../../disk/crc32c.ts";
import {
  EXT4_MMP_MAGIC,
  EXT4_MMP_MAX_UPDATE_INTERVAL,
  EXT4_MMP_MIN_CHECK_INTERVAL,
  EXT4_MMP_SEQ_CLEAN,
  EXT4_MMP_SEQ_FSCK,
  EXT4_MMP_SEQ_MAX,
  EXT4_MMP_UPDATE_INTERVAL,
  MmpStruct as Mmp,
} from "../../disk/mmp.ts";
import { Ext4SuperBlock as Sb } from "../../disk/superblock.ts";
import { type Field, setText } from "../../disk/struct.ts";
import { badChecksum, corrupt, fail, type FsError } from "../../sys/fs_error.ts";
import type { FileSystem } from "../filesystem.ts";
import type { WriteOptions } from "../writing.ts";

/** Whoever looks waits so many times as long as whoever writes. */
const CHECK_MULTIPLE = 2;
/** A wait of more seconds is worth a message. */
const LONG_WAIT = 4 * EXT4_MMP_MIN_CHECK_INTERVAL;

export class MultipleMountProtection {
  readonly #fs: FileSystem;
  readonly #options: WriteOptions;
  /** The block as it was written last. */
  readonly #view: DataView<ArrayBuffer>;
  /** Seconds. */
  readonly #updateInterval: number;
  /** Time of the last update, by the clock in milliseconds that never goes back. */
  #updated: number;
  /** Somebody else has the file system: nothing in it is ours any more. */
  #isLost = false;

  private constructor(fs: FileSystem, options: WriteOptions, view: DataView<ArrayBuffer>) {
    this.#fs = fs;
    this.#options = options;
    this.#view = view;
    this.#updateInterval = updateInterval(fs);
    this.#updated = options.monotonic();
  }

  /**
   * Makes sure that nobody has the file system mounted, which takes some seconds after a crash, and
   * takes it over. Throws EBUSY when somebody has it; EUCLEAN or EBADMSG for a damaged block.
   */
  static claim(fs: FileSystem, options: WriteOptions): MultipleMountProtection {
    const view = readBlock(fs);
    const found = Mmp.mmp_seq.get(view, 0);
    if (found === EXT4_MMP_SEQ_FSCK) throw inUse(fs, view, "e2fsck runs on it");
    const wait = found === EXT4_MMP_SEQ_CLEAN ? 0 : waitSeconds(fs, view);
    if (wait > 0) requireUnchanged(fs, options, found, wait);
    const own = 1 + options.random() % EXT4_MMP_SEQ_MAX;
    const protection = new MultipleMountProtection(fs, options, view);
    protection.#write(own, checkInterval(protection.#updateInterval));
    // Somebody else may have done the same at the same time: the later one has it.
    requireUnchanged(fs, options, own, wait);
    return protection;
  }

  /** Milliseconds until the next update. */
  due(): number {
    const next = this.#updated + this.#updateInterval * 1000;
    return Math.max(0, next - this.#options.monotonic());
  }

  /**
   * Tells the others that the file system is still in use. Throws EBUSY when somebody took it over,
   * because the last update came too late: nothing may be written any more then. Throws EIO when
   * the update failed; the next one may not.
   */
  update(): void {
    const seconds = (this.#options.monotonic() - this.#updated) / 1000;
    const promised = Mmp.mmp_check_interval.get(this.#view, 0);
    if (seconds > promised) this.#requireOwn();
    const before = Mmp.mmp_seq.get(this.#view, 0);
    this.#write(
      before >= EXT4_MMP_SEQ_MAX ? 1 : before + 1,
      Math.min(checkInterval(Math.ceil(seconds)), EXT4_MMP_MAX_UPDATE_INTERVAL),
    );
  }

  /** Nobody has the file system mounted any more, unless somebody else took it over. */
  release(): void {
    if (this.#isLost || !this.#isOwn(readBlock(this.#fs))) return;
    this.#write(EXT4_MMP_SEQ_CLEAN, Mmp.mmp_check_interval.get(this.#view, 0));
  }

  #requireOwn(): void {
    const now = readBlock(this.#fs);
    if (this.#isOwn(now)) return;
    this.#isLost = true;
    throw inUse(this.#fs, now, "it was mounted a second time");
  }

  /** True where the block is as it was written last. */
  #isOwn(now: DataView): boolean {
    return Mmp.mmp_seq.get(now, 0) === Mmp.mmp_seq.get(this.#view, 0) &&
      textOf(now, Mmp.mmp_nodename) === textOf(this.#view, Mmp.mmp_nodename);
  }

  #write(sequence: number, interval: number): void {
    const view = this.#view;
    this.#updated = this.#options.monotonic();
    Mmp.mmp_seq.set(view, 0, sequence);
    Mmp.mmp_time.set(view, 0, this.#options.now().sec);
    Mmp.mmp_check_interval.set(view, 0, interval);
    setText(view, Mmp.mmp_nodename, this.#options.hostName ?? "");
    setText(view, Mmp.mmp_bdevname, this.#fs.device.name.replace(/^.*\//, ""));
    const bytes = new Uint8Array(view.buffer);
    if (this.#fs.superblock.hasMetadataChecksums) {
      Mmp.mmp_checksum.set(view, 0, checksum(this.#fs, bytes));
    }
    this.#fs.device.write(bytes, position(this.#fs));
    this.#fs.device.flush();
  }
}

/** Seconds between two updates. */
function updateInterval(fs: FileSystem): number {
  const stored = Sb.s_mmp_interval.get(fs.superblock.view, 0);
  return Math.min(stored || EXT4_MMP_UPDATE_INTERVAL, EXT4_MMP_MAX_UPDATE_INTERVAL);
}

/** Seconds that others are to wait for a change, when updates take so long. */
function checkInterval(seconds: number): number {
  return Math.max(CHECK_MULTIPLE * seconds, EXT4_MMP_MIN_CHECK_INTERVAL);
}

/** Seconds after which whoever has it would have changed the block, as the kernel counts them. */
function waitSeconds(fs: FileSystem, view: DataView): number {
  const promised = Math.min(Mmp.mmp_check_interval.get(view, 0), EXT4_MMP_MAX_UPDATE_INTERVAL);
  const interval = Math.max(updateInterval(fs), promised, EXT4_MMP_MIN_CHECK_INTERVAL);
  const seconds = Math.min(2 * interval + 1, interval + 60);
  if (seconds > LONG_WAIT) {
    fs.log.warn(
      `${fs.device.name}: waiting ${seconds} seconds, twice, to see whether it is in use`,
    );
  }
  return seconds;
}

/** Throws EBUSY when the number changes within the time. */
function requireUnchanged(
  fs: FileSystem,
  options: WriteOptions,
  sequence: number,
  seconds: number,
): void {
  if (seconds > 0) (options.sleep ?? sleep)(seconds * 1000);
  const now = readBlock(fs);
  if (Mmp.mmp_seq.get(now, 0) !== sequence) throw inUse(fs, now, "another host has it mounted");
}

function readBlock(fs: FileSystem): DataView<ArrayBuffer> {
  const bytes = new Uint8Array(Mmp.byteLength);
  const at = position(fs);
  // Another host may have written it: what the system remembers of it is old.
  fs.device.forgetCached?.(at, bytes.length);
  fs.device.read(bytes, at);
  const view = new DataView(bytes.buffer);
  const block = at / fs.blockSize;
  if (Mmp.mmp_magic.get(view, 0) !== EXT4_MMP_MAGIC) {
    throw corrupt("multiple mount protection: no magic number", { block });
  }
  if (
    fs.superblock.hasMetadataChecksums && Mmp.mmp_checksum.get(view, 0) !== checksum(fs, bytes)
  ) {
    throw badChecksum("the multiple mount protection", { block });
  }
  return view;
}

function position({ superblock }: FileSystem): number {
  const block = Sb.s_mmp_block.get(superblock.view, 0);
  if (block <= superblock.firstDataBlock || block >= superblock.blocksCount) {
    throw corrupt("multiple mount protection: outside the file system", { block });
  }
  return block * superblock.blockSize;
}

function checksum(fs: FileSystem, bytes: Uint8Array): number {
  return crc32c(fs.superblock.checksumSeed, bytes, 0, Mmp.mmp_checksum.offset);
}

function inUse(fs: FileSystem, view: DataView, why: string): FsError {
  const host = textOf(view, Mmp.mmp_nodename);
  const seen = new Date(Mmp.mmp_time.get(view, 0) * 1000);
  const when = Number.isNaN(seen.getTime()) ? "" : ` at ${seen.toISOString()}`;
  return fail(
    "EBUSY",
    `${fs.device.name} is in use: ${why} (last seen on ${host || "a host without name"}${when})`,
  );
}

function textOf(view: DataView, field: Field<Uint8Array>): string {
  return new TextDecoder().decode(field.get(view, 0)).split("\0")[0];
}

/** Stops this thread for a time in milliseconds. */
function sleep(time: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, time);
}
