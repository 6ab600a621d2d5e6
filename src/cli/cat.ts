/** `fuse4fs cat`: the content of files of an image, without mounting it. */

import { readBytes } from "../ext4/content/read.ts";
import { fail } from "../sys/fs_error.ts";
import { findInode, type ImageCommandOptions, withFileSystem } from "./image_access.ts";
import { print } from "./output.ts";

/** Bytes that are read and written at a time. */
const PIECE = 1 << 20;

export function cat(image: string, paths: readonly string[], options: ImageCommandOptions): void {
  withFileSystem(image, options, (fs) => {
    for (const path of paths) {
      const inode = findInode(fs, path, true);
      if (inode.isDirectory) throw fail("EISDIR", `Cannot print ${path}: it is a directory`);
      if (!inode.isRegular) throw fail("EINVAL", `Cannot print ${path}: it is not a regular file`);
      for (let position = 0; position < inode.size; position += PIECE) {
        print(readBytes(fs, inode, position, PIECE));
      }
    }
  });
}
