/**
 * A FUSE server whose handlers misbehave, for tests of src/fuse: run as a program with a mountpoint.
 * Its root holds `fine`, `odd-times`, `crash` (a plain Error on every request) and `damage` (an
 * FsError).
 */

import type { Attributes, Entry, Handlers } from "../../src/fuse/handlers.ts";
import { openLibfuse } from "../../src/fuse/library.ts";
import { Session } from "../../src/fuse/session.ts";
import { handshake, serve } from "../../src/mount/loop.ts";
import { corrupt, fail } from "../../src/sys/fs_error.ts";
import { S_IFDIR, S_IFREG } from "../../src/sys/stat.ts";

const CONTENT = new TextEncoder().encode("all is well\n");
const NAMES = ["fine", "odd-times", "crash", "damage"];

function attributes(ino: number): Attributes {
  const isRoot = ino === 1;
  const time = NAMES[ino - 2] === "odd-times"
    ? { sec: -1, nsec: 999_999_999 }
    : { sec: 0, nsec: 0 };
  return {
    ino,
    mode: isRoot ? S_IFDIR | 0o755 : S_IFREG | 0o644,
    nlink: 1,
    uid: 0,
    gid: 0,
    rdev: 0,
    size: isRoot ? 0 : CONTENT.length,
    blksize: 4096,
    blocks: 1,
    atime: time,
    mtime: { sec: 15e9, nsec: 1 },
    ctime: time,
    btime: { sec: 12345, nsec: 6789 },
  };
}

function check(ino: number): void {
  if (NAMES[ino - 2] === "crash") throw new TypeError("a defect of the server");
  if (NAMES[ino - 2] === "damage") throw corrupt("toy structure", { ino, block: 4711 });
}

const handlers: Handlers = {
  timeouts: { entry: 0, negativeEntry: 0, attributes: 0 },
  lookup(_parent, name): Entry | undefined {
    const index = NAMES.indexOf(new TextDecoder().decode(name));
    if (index < 0) return undefined;
    return { nodeId: index + 2, generation: 0, attributes: attributes(index + 2) };
  },
  forget() {},
  getattr(nodeId) {
    check(nodeId);
    return attributes(nodeId);
  },
  access() {},
  readlink() {
    throw fail("EINVAL", "no links here");
  },
  open: () => undefined,
  read(nodeId, position, length) {
    check(nodeId);
    return [{ kind: "memory", bytes: CONTENT.slice(position, position + length) }];
  },
  release() {},
  opendir: () => undefined,
  readdir(_nodeId, position, add) {
    for (let index = position; index < NAMES.length; index++) {
      const name = new TextEncoder().encode(NAMES[index]);
      if (!add({ name, ino: index + 2, type: S_IFREG, next: index + 1 })) return;
    }
  },
  readdirplus(nodeId, position, add) {
    handlers.readdir(nodeId, position, (row) => add(row, undefined));
  },
  releasedir() {},
  statfs: () => ({
    bsize: 4096,
    frsize: 4096,
    blocks: 1,
    bfree: 0,
    bavail: 0,
    files: 5,
    ffree: 0,
    namemax: 255,
  }),
  getxattr: () => undefined,
  listxattr: () => new Uint8Array(0),
  lseek: (_nodeId, position) => position,
  bmap: () => 0,
  ioctl() {
    throw fail("ENOTTY", "no ioctls here");
  },
};

const log = { debug() {}, info() {}, warn: console.error, error: console.error };
{
  const options = { mountOptions: "fsname=toy,ro", debug: false, posixAcl: false };
  using session = new Session(openLibfuse(), handlers, options, log);
  session.mount(Deno.args[0]);
  handshake(session);
  console.log("ready");
  serve(session);
}
console.log("ended");
