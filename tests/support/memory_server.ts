/**
 * A FUSE server for tests of the requests that change something: files in memory. Run it as a
 * program with a mountpoint, a file for its journal of requests, and if need be more mount options.
 *
 * Each change is a line of JSON in the journal, `["mkdir", {...}]`: what arrived of the request.
 * A write to a file whose name begins with `full` fails with ENOSPC, to one with `broken` with EIO.
 * A commit fails with EIO once there is a file called `no-commit`.
 */

import type {
  AttributeChange,
  Attributes,
  Caller,
  ChangeHandlers,
  Created,
  DirectoryRow,
  Entry,
  Handlers,
  NewNode,
} from "../../src/fuse/handlers.ts";
import { fail } from "../../src/sys/fs_error.ts";
import { S_IFDIR, S_IFLNK, S_IFMT } from "../../src/sys/stat.ts";
import { latin1 } from "./toy_content.ts";
import { serveHandlers } from "./serve_handlers.ts";

const ROOT = 1;
const SIZE_OF_ALL = 64 << 20;

interface Node {
  readonly id: number;
  mode: number;
  uid: number;
  gid: number;
  readonly rdev: number;
  links: number;
  data: Uint8Array<ArrayBuffer>;
  times: { atime: Time; mtime: Time; ctime: Time };
  readonly entries: Map<string, number>;
  readonly xattrs: Map<string, Uint8Array>;
  /** The name it was made with. */
  readonly name: string;
}
type Time = { readonly sec: number; readonly nsec: number };

const [mountpoint, journalPath, ...moreOptions] = Deno.args;
const journal = Deno.openSync(journalPath, { create: true, append: true });
const nodes = new Map<number, Node>();
const references = new Map<number, number>();
let commits = 0;

function note(name: string, facts: Record<string, unknown>): void {
  const line = JSON.stringify([name, facts]) + "\n";
  journal.writeSync(new TextEncoder().encode(line));
}

function now(): Time {
  const milliseconds = Date.now();
  return { sec: Math.floor(milliseconds / 1000), nsec: (milliseconds % 1000) * 1e6 };
}

function addNode(mode: number, owner: { uid: number; gid: number }, name: string, rdev = 0): Node {
  const time = now();
  const node: Node = {
    ...{ id: nodes.size + ROOT, mode, uid: owner.uid, gid: owner.gid, rdev, name },
    links: (mode & S_IFMT) === S_IFDIR ? 2 : 1,
    data: new Uint8Array(),
    times: { atime: time, mtime: time, ctime: time },
    entries: new Map(),
    xattrs: new Map(),
  };
  nodes.set(node.id, node);
  return node;
}

function get(id: number): Node {
  const node = nodes.get(id);
  if (node === undefined) throw fail("ESTALE", `no node ${id}`);
  return node;
}

function attributes(node: Node): Attributes {
  return {
    ...{ ino: node.id, mode: node.mode, nlink: node.links, uid: node.uid, gid: node.gid },
    ...{ rdev: node.rdev, size: node.data.length, blksize: 4096, ...node.times },
    blocks: Math.ceil(node.data.length / 512),
  };
}

function entryOf(node: Node): Entry {
  return { nodeId: node.id, generation: 0, attributes: attributes(node) };
}

function resize(node: Node, size: number): void {
  const data = new Uint8Array(size);
  data.set(node.data.subarray(0, size));
  node.data = data;
}

function put(parent: number, name: Uint8Array, node: Node): Entry {
  get(parent).entries.set(latin1(name), node.id);
  return entryOf(node);
}

function take(parent: number, name: Uint8Array): Node {
  const dir = get(parent);
  const id = dir.entries.get(latin1(name));
  if (id === undefined) throw fail("ENOENT", "no such name");
  dir.entries.delete(latin1(name));
  const node = get(id);
  node.links--;
  return node;
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const owner = ({ uid, gid }: Caller) => ({ uid, gid });

function create(what: string, parent: number, name: string, node: NewNode, caller: Caller): Node {
  note(what, { parent, name, mode: node.mode, umask: node.umask, ...owner(caller) });
  return addNode(node.mode & ~node.umask, caller, name);
}

const changes: ChangeHandlers = {
  setattr(nodeId, change: AttributeChange): Attributes {
    const given = Object.entries(change).filter(([, value]) => value !== undefined);
    const node = get(nodeId);
    note("setattr", { name: node.name, ...Object.fromEntries(given) });
    if (change.size !== undefined) resize(node, change.size);
    if (change.killSetIds) node.mode &= ~0o6000;
    if (change.mode !== undefined) node.mode = (node.mode & S_IFMT) | (change.mode & 0o7777);
    node.uid = change.uid ?? node.uid;
    node.gid = change.gid ?? node.gid;
    const { atime, mtime, ctime } = node.times;
    const time = (value: Time | "now" | undefined, old: Time) =>
      value === "now" ? now() : value ?? old;
    node.times = {
      atime: time(change.atime, atime),
      mtime: time(change.mtime, mtime),
      ctime: time(change.ctime, ctime),
    };
    return attributes(node);
  },
  mknod(parent, name, node, rdev, caller) {
    note("mknod", { parent, name: text(name), ...node, rdev, ...owner(caller) });
    return put(parent, name, addNode(node.mode & ~node.umask, caller, text(name), rdev));
  },
  mkdir(parent, name, node, caller) {
    const mode = S_IFDIR | node.mode;
    return put(parent, name, create("mkdir", parent, text(name), { ...node, mode }, caller));
  },
  symlink(parent, name, target, caller) {
    note("symlink", { parent, name: text(name), target: text(target), ...owner(caller) });
    const node = addNode(S_IFLNK | 0o777, caller, text(name));
    node.data = target.slice();
    return put(parent, name, node);
  },
  create(parent, name, node, caller): Created {
    const entry = put(parent, name, create("create", parent, text(name), node, caller));
    return { entry, open: { handle: 0, keepCache: true } };
  },
  tmpfile(parent, node, caller): Created {
    const made = create("tmpfile", parent, "", node, caller);
    made.links = 0;
    return { entry: entryOf(made), open: { handle: 0, keepCache: true } };
  },
  link(nodeId, newParent, newName) {
    note("link", { name: get(nodeId).name, newParent, newName: text(newName) });
    get(nodeId).links++;
    return put(newParent, newName, get(nodeId));
  },
  unlink(parent, name) {
    note("unlink", { parent, name: text(name) });
    take(parent, name);
  },
  rmdir(parent, name) {
    note("rmdir", { parent, name: text(name) });
    take(parent, name);
  },
  rename(parent, name, newParent, newName, flags) {
    const names = { name: text(name), newName: text(newName) };
    note("rename", { parent, newParent, ...names, flags });
    const node = take(parent, name);
    node.links++;
    put(newParent, newName, node);
  },
  write(nodeId, position, bytes, { killSetIds }) {
    const node = get(nodeId);
    note("write", { name: node.name, position, length: bytes.length, killSetIds });
    if (node.name.startsWith("full")) throw fail("ENOSPC", "full");
    if (node.name.startsWith("broken")) throw fail("EIO", "broken");
    const mode = node.mode;
    if (killSetIds) node.mode &= ~0o6000;
    if (position + bytes.length > node.data.length) resize(node, position + bytes.length);
    node.data.set(bytes, position);
    return node.mode !== mode;
  },
  fallocate(nodeId, mode, position, length) {
    note("fallocate", { name: get(nodeId).name, mode, position, length });
    if (mode === 0) resize(get(nodeId), Math.max(get(nodeId).data.length, position + length));
  },
  copyFileRange(nodeId, position, toNodeId, toPosition, length) {
    const to = get(toNodeId);
    const names = { name: get(nodeId).name, to: to.name };
    note("copy_file_range", { ...names, position, toPosition, length });
    const bytes = get(nodeId).data.slice(position, position + length);
    if (toPosition + bytes.length > to.data.length) resize(to, toPosition + bytes.length);
    to.data.set(bytes, toPosition);
    return bytes.length;
  },
  setxattr(nodeId, name, value, flags) {
    const facts = { name: text(name), value: text(value), ...flags };
    note("setxattr", { file: get(nodeId).name, ...facts });
    get(nodeId).xattrs.set(latin1(name), value.slice());
  },
  removexattr(nodeId, name) {
    note("removexattr", { file: get(nodeId).name, name: text(name) });
    if (!get(nodeId).xattrs.delete(latin1(name))) throw fail("ENODATA", "no such attribute");
  },
  commit() {
    note("commit", { number: ++commits });
    if (get(ROOT).entries.has("no-commit")) throw fail("EIO", "the commit failed");
  },
};

const handlers: Handlers = {
  timeouts: { entry: 3600, negativeEntry: 3600, attributes: 3600 },
  changes,
  lookup(parent, name) {
    const id = get(parent).entries.get(latin1(name));
    return id === undefined ? undefined : entryOf(get(id));
  },
  remember(nodeId) {
    references.set(nodeId, (references.get(nodeId) ?? 0) + 1);
  },
  forget(nodeId, count) {
    const left = (references.get(nodeId) ?? 0) - count;
    references.set(nodeId, left);
    if (left === 0) note("forgotten", { name: get(nodeId).name, links: get(nodeId).links });
    if (left < 0) note("forgotten too often", { name: get(nodeId).name });
  },
  getattr: (nodeId) => attributes(get(nodeId)),
  access() {},
  readlink: (nodeId) => get(nodeId).data,
  open: () => undefined,
  read: (nodeId, position, length) => [
    { kind: "memory", bytes: get(nodeId).data.slice(position, position + length) },
  ],
  release() {},
  opendir: () => undefined,
  readdir(nodeId, position, add) {
    const rows = [...get(nodeId).entries].map(([name, ino], index): DirectoryRow => ({
      name: Uint8Array.from(name, (character) => character.charCodeAt(0)),
      ino,
      type: get(ino).mode & S_IFMT,
      next: index + 1,
    }));
    for (const row of rows.slice(position)) {
      if (!add(row)) return;
    }
  },
  readdirplus(nodeId, position, add) {
    handlers.readdir(nodeId, position, (row) => add(row, entryOf(get(row.ino))));
  },
  releasedir() {},
  statfs: () => ({
    ...{ bsize: 4096, frsize: 4096, blocks: SIZE_OF_ALL / 4096, bfree: 99, bavail: 9 },
    ...{ files: 9, ffree: 9, namemax: 255 },
  }),
  getxattr: (nodeId, name) => get(nodeId).xattrs.get(latin1(name)),
  listxattr(nodeId) {
    return new TextEncoder().encode([...get(nodeId).xattrs.keys()].map((n) => `${n}\0`).join(""));
  },
  lseek: (_nodeId, position) => position,
  bmap: () => 0,
  ioctl() {
    throw fail("ENOTTY", "no ioctls here");
  },
};

addNode(S_IFDIR | 0o755, { uid: 0, gid: 0 }, "root");
serveHandlers(handlers, mountpoint, [
  "fsname=memory",
  "default_permissions",
  "suid",
  ...moreOptions,
], true);
