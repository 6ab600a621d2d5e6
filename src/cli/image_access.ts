/** What the commands share that look into an image without mounting it. */

import { FileSystem } from "../ext4/filesystem.ts";
import type { Inode } from "../ext4/inode/inode.ts";
import { resolvePath } from "../ext4/directory/path.ts";
import { cannotOpen, openImage } from "../mount/image.ts";
import { LogSink } from "../mount/log_sink.ts";

/** The options of the image commands, as the command line library hands them over. */
export interface ImageCommandOptions {
  readonly partition?: number;
  readonly offset?: number;
  readonly sb?: number;
  readonly journal?: string;
  /** False with --no-recovery. */
  readonly recovery: boolean;
  readonly json?: boolean;
}

/** Opens the file system in an image, has `body` look at it, and closes it. Throws FsError. */
export function withFileSystem<Result>(
  image: string,
  options: ImageCommandOptions,
  body: (fs: FileSystem) => Result,
): Result {
  const fs = openFileSystem(image, options);
  try {
    return body(fs);
  } finally {
    fs.close();
  }
}

function openFileSystem(image: string, options: ImageCommandOptions): FileSystem {
  const device = openImage(image, options);
  const externalJournal = options.journal === undefined
    ? undefined
    : openImage(options.journal, {});
  try {
    return FileSystem.open(device, {
      log: new LogSink(false),
      superblockBlock: options.sb,
      norecovery: !options.recovery,
      externalJournal,
    });
  } catch (error) {
    device.close();
    externalJournal?.close();
    throw cannotOpen(image, error);
  }
}

const INODE_NUMBER = /^<([0-9]+)>$/;

/**
 * The inode at a path of the image, or of a number in angle brackets, `<12>`, as debugfs(8) has it:
 * the way to files whose names cannot be typed.
 */
export function findInode(fs: FileSystem, path: string, followLast: boolean): Inode {
  const number = INODE_NUMBER.exec(path)?.[1];
  if (number !== undefined) return fs.inode(Number(number));
  if (path === "" || path === "/") return fs.root;
  return resolvePath(fs, path, { followLast });
}
