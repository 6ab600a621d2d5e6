/**
 * File I/O by the kernel itself (FUSE iomap): it asks where data is, and reads and writes the
 * device. Answers come from mapBlocks, and space for writes from mapNewBlocks.
 *
 *     write(2)   BEGIN: a hole gets blocks, unwritten      they read as zeros, whatever is in them
 *                the kernel writes to the device
 *                IOEND: unwritten -> written, and i_size   one operation for each extent
 *
 * So a file never shows blocks that were not its own, in whatever order commits and crashes come;
 * and size and state of an extent change together, as e2fsck wants it.
 *
 * What the server itself reads and writes must pass the page cache of the device by: data of the
 * kernel's does not go through it. Since O_DIRECT works on 4096 bytes, and what the server writes
 * must not touch neighbours that the kernel writes meanwhile, blocks have to be of that size.
 */

import {
  EXT4_APPEND_FL,
  EXT4_GOOD_OLD_INODE_SIZE,
  EXT4_IMMUTABLE_FL,
  EXT4_SYNC_FL,
} from "../disk/inode.ts";
import { mapNewBlocks } from "../ext4/map/block_map_write.ts";
import { changeSize, requireChangeable } from "../ext4/content/content_change.ts";
import { convertExtent } from "../ext4/map/extents_write.ts";
import type { FileSystem } from "../ext4/filesystem.ts";
import { type Inode, MAX_OLD_SECONDS, MAX_SECONDS, MIN_SECONDS } from "../ext4/inode/inode.ts";
import { EXT4_LINK_MAX } from "../ext4/inode/link_count.ts";
import { mapBlocks, type Mapping, MAX_FILE_BLOCKS } from "../ext4/map/block_map.ts";
import { writeZeros } from "../ext4/content/padded_write.ts";
import { maxFileSize } from "../ext4/map/size_limits.ts";
import { moveInlineToBlocks } from "../ext4/content/write.ts";
import { registerIomapDevice } from "../fuse/backing.ts";
import type { Caller } from "../fuse/handlers.ts";
import type {
  IomapConfiguration,
  IomapHandlers,
  IomapMapping,
  WriteEnd,
} from "../fuse/iomap_handlers.ts";
import {
  FUSE_ATTR_APPEND,
  FUSE_ATTR_EXCLUSIVE,
  FUSE_ATTR_IMMUTABLE,
  FUSE_ATTR_IOMAP,
  FUSE_ATTR_SYNC,
  IomapOp,
  IomapType,
} from "../fuse/iomap_wire.ts";
import { fail, FsError } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import type { Nodes } from "./nodes.ts";
import type { Upkeep } from "./upkeep.ts";

/** Blocks of one allocation at most: an operation stays small, and the kernel asks again. */
const MOST_NEW_BLOCKS = 8192;
/** What O_DIRECT works on. */
const BLOCK_SIZE = 4096;

const TYPES = {
  hole: IomapType.HOLE,
  mapped: IomapType.MAPPED,
  unwritten: IomapType.UNWRITTEN,
  inline: IomapType.INLINE,
} as const satisfies Record<Mapping["kind"], number>;

/** Why the kernel cannot read and write this file system's data itself; undefined: it can. */
export function iomapObstacle(fs: FileSystem): string | undefined {
  const backing = fs.device.backing?.();
  if (backing === undefined) return "the journal was replayed in memory only";
  if (!Deno.statSync(`/proc/self/fd/${backing.fd}`).isBlockDevice) {
    return "it needs a block device: losetup(8) makes one of an image";
  }
  if (fs.blockSize !== BLOCK_SIZE || backing.position % BLOCK_SIZE !== 0) {
    return `it needs blocks of ${BLOCK_SIZE} bytes, at multiples of that`;
  }
  if (!fs.superblock.features.has("extent")) return "it needs extents";
  return undefined;
}

export interface IomapOptions {
  readonly fs: FileSystem;
  readonly nodes: Nodes;
  readonly log: Log;
  /** Given where the file system is open for writing. */
  readonly upkeep: Upkeep | undefined;
  /** Called before anything is written, with whom it is for. Throws EROFS. */
  readonly spaceFor: (user: Pick<Caller, "uid" | "gid">) => void;
  /** Called when the kernel asked for a mapping that a BPF program might have told. */
  readonly missed?: (inode: Inode) => void;
  /** How a device is registered: by an ioctl, but in tests. */
  readonly register?: typeof registerIomapDevice;
}

export class Iomap implements IomapHandlers {
  /** Where the session is, once there is one. */
  fuseFd = -1;
  readonly #options: IomapOptions;
  readonly #fs: FileSystem;
  /** Byte of the registered device at which the file system begins. */
  readonly #start: number;
  #device = 0;

  constructor(options: IomapOptions) {
    this.#options = options;
    this.#fs = options.fs;
    this.#start = options.fs.device.backing?.()?.position ?? 0;
  }

  /** The number by which mappings name the device; 0 before, or without, its registration. */
  get device(): number {
    return this.#device;
  }

  /** FUSE_ATTR_* for an inode: whether the kernel does its I/O. */
  attributeFlags(inode: Inode): number {
    if (this.#device === 0 || !inode.isRegular || inode.isEncrypted) return 0;
    if (!inode.usesExtents && !inode.hasInlineData) return 0;
    let flags = FUSE_ATTR_EXCLUSIVE | FUSE_ATTR_IOMAP;
    if (inode.hasFlag(EXT4_SYNC_FL)) flags |= FUSE_ATTR_SYNC;
    if (inode.hasFlag(EXT4_IMMUTABLE_FL)) flags |= FUSE_ATTR_IMMUTABLE;
    if (inode.hasFlag(EXT4_APPEND_FL)) flags |= FUSE_ATTR_APPEND;
    return flags;
  }

  /** Without a registered device, files are read and written through the server as ever. */
  configure(): IomapConfiguration {
    try {
      this.#device = this.#register();
      if (this.#options.upkeep !== undefined) this.#options.upkeep.isDataUnseen = true;
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#options.log.warn(`file I/O goes through the server: ${error.message}`);
    }
    const { superblock, blockSize, device } = this.#fs;
    const isOld = superblock.inodeSize <= EXT4_GOOD_OLD_INODE_SIZE;
    return {
      id: device.name.split("/").at(-1) ?? "",
      uuid: superblock.uuid,
      blockSize,
      maxLinks: EXT4_LINK_MAX,
      timeMin: MIN_SECONDS,
      timeMax: isOld ? MAX_OLD_SECONDS : MAX_SECONDS,
      timeGranularity: this.#options.nodes.timeGranularity,
      maxBytes: (MAX_FILE_BLOCKS - 1) * blockSize,
    };
  }

  begin(
    nodeId: number,
    position: number,
    count: number,
    operation: number,
    caller: Caller,
  ): IomapMapping {
    const inode = this.#options.nodes.inode(nodeId);
    if (!inode.isRegular) throw fail("EINVAL", "iomap of what is no file", { ino: inode.ino });
    const { blockSize } = this.#fs;
    const block = Math.floor(position / blockSize);
    const end = Math.ceil((position + count) / blockSize);
    if (end > MAX_FILE_BLOCKS) throw fail("EFBIG", "Behind the largest file", { ino: inode.ino });
    if (needsSpace(operation)) {
      if (position >= maxFileSize(this.#fs, inode)) {
        throw fail("EFBIG", "Behind the largest file", { ino: inode.ino });
      }
      this.#options.spaceFor((operation & IomapOp.WRITEBACK) === 0 ? caller : inode);
      return this.#mappingOf(this.#mapForWriting(inode, block, Math.max(1, end - block)));
    }
    this.#options.missed?.(inode);
    // All of the run: what was not asked for may be next.
    return this.#mappingOf(mapBlocks(this.#fs, inode, block, MAX_FILE_BLOCKS - block));
  }

  /** Blocks that were given and not written stay unwritten: whoever writes next finds them. */
  end(): void {}

  ioend(nodeId: number, { error, position, written }: WriteEnd): number {
    const inode = this.#options.nodes.inode(nodeId);
    if (error !== 0 || written === 0) return inode.size;
    const { blockSize } = this.#fs;
    const end = position + written;
    const endBlock = Math.ceil(end / blockSize);
    if (endBlock > MAX_FILE_BLOCKS) {
      throw fail("EFBIG", "Behind the largest file", { ino: inode.ino });
    }
    for (let block = Math.floor(position / blockSize); block < endBlock;) {
      block += this.#written(inode, block, endBlock - block, end);
    }
    // The device has data that the next commit must make durable before it tells of it.
    this.#fs.writing.transactions.noteData();
    return inode.size;
  }

  freeze(): void {
    this.#options.upkeep?.commit();
    if (!this.#fs.isReadOnly) this.#fs.writing.transactions.writeBack();
  }

  thaw(): void {}

  shutDown(): void {
    this.#options.upkeep?.shutDown();
  }

  #register(): number {
    const { device } = this.#fs;
    const backing = device.backing?.();
    if (backing === undefined) throw fail("ENODEV", `${device.name} is no device of its own`);
    const register = this.#options.register ?? registerIomapDevice;
    const cookie = register(this.fuseFd, backing.fd);
    device.bypassCache?.();
    return cookie;
  }

  #mapForWriting(inode: Inode, block: number, count: number): Mapping {
    const fs = this.#fs;
    requireChangeable(inode);
    if (inode.hasInlineData) fs.change((handle) => moveInlineToBlocks(fs, handle, inode));
    const found = mapBlocks(fs, inode, block, count);
    if (found.kind !== "hole") return found;
    const unwritten = inode.usesExtents;
    return fs.change((handle) => {
      fs.modifyInode(handle, inode);
      const given = mapNewBlocks(fs, handle, inode, {
        fileBlock: block,
        count: Math.min(found.count, MOST_NEW_BLOCKS),
        unwritten,
        purpose: "data",
      });
      // A map that cannot say `unwritten` must not lead to what was in the blocks before.
      if (!unwritten) writeZeros(fs, given.physicalBlock, 0, given.count * fs.blockSize);
      return given;
    });
  }

  /** One operation: some blocks that were written, from the first on. Returns how many. */
  #written(inode: Inode, block: number, count: number, endOfData: number): number {
    const fs = this.#fs;
    const found = mapBlocks(fs, inode, block, count);
    if (found.kind === "hole") {
      throw fail("EIO", `Data was written to file block ${block}, which has none`, {
        ino: inode.ino,
      });
    }
    const sizeAt = (done: number) => Math.min(endOfData, (block + done) * fs.blockSize);
    if (found.kind !== "unwritten" && sizeAt(found.count) <= inode.size) return found.count;
    return fs.change((handle) => {
      fs.modifyInode(handle, inode);
      const done = found.kind === "unwritten"
        ? convertExtent(fs, handle, inode, {
          fileBlock: block,
          count: found.count,
          unwritten: false,
        })
        : found.count;
      if (sizeAt(done) > inode.size) changeSize(fs, handle, inode, sizeAt(done));
      return done;
    });
  }

  #mappingOf({ kind, fileBlock, physicalBlock, count }: Mapping): IomapMapping {
    const { blockSize } = this.#fs;
    const hasPlace = kind === "mapped" || kind === "unwritten";
    return {
      type: TYPES[kind],
      offset: kind === "inline" ? 0 : fileBlock * blockSize,
      // Inline data are less than a block, and the kernel wants whole blocks.
      length: kind === "inline" ? blockSize : count * blockSize,
      address: hasPlace ? this.#start + physicalBlock * blockSize : undefined,
      device: hasPlace ? this.#device : 0,
    };
  }
}

/** Zeroing needs none: holes are zeros. Nor does overwriting, which takes only what is there. */
function needsSpace(operation: number): boolean {
  const writes = (operation & (IomapOp.WRITE | IomapOp.WRITEBACK)) !== 0;
  return writes && (operation & (IomapOp.ZERO | IomapOp.OVERWRITE_ONLY)) === 0;
}
