/** ACLs set, inherited and changed with the permissions: as by the kernel's ext4. */

import assert from "node:assert/strict";
import { ACL_UNDEFINED_ID } from "../src/disk/acl.ts";
import { isMoreThanMode, modeOf, withinMode, withMode } from "../src/ext4/xattr/acl_mode.ts";
import { setAttributes } from "../src/ext4/inode/attributes.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { lookup } from "../src/ext4/directory/lookup.ts";
import { makeDirectory, makeNode, makeSymlink } from "../src/ext4/directory/namespace.ts";
import { type AclEntry, AclTag, formatAcl, posixAclFromDisk } from "../src/ext4/xattr/posix_acl.ts";
import { removeXattr, setXattr } from "../src/ext4/xattr/set_xattr.ts";
import { getXattr } from "../src/ext4/xattr/xattr.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { S_IFIFO, S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, openForWriting } from "./support/allocation.ts";
import * as libc from "./support/libc.ts";
import { SystemError } from "./support/libc.ts";
import { mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const ACCESS = "system.posix_acl_access";
const DEFAULT = "system.posix_acl_default";
const TAGS: Readonly<Record<string, number>> = {
  u: AclTag.USER_OBJ,
  U: AclTag.USER,
  g: AclTag.GROUP_OBJ,
  G: AclTag.GROUP,
  m: AclTag.MASK,
  o: AclTag.OTHER,
};

/** `u7 U1000=6 g5 m5 o0`: capital letters have an id. */
function acl(text: string): AclEntry[] {
  return text.split(" ").map((entry) => {
    const [front, permissions = front.slice(1)] = entry.split("=");
    const id = entry.includes("=") ? Number(front.slice(1)) : ACL_UNDEFINED_ID;
    return { tag: TAGS[entry[0]], permissions: Number(permissions), id };
  });
}

/** In the form of user space. */
function valueOf(text: string): Uint8Array<ArrayBuffer> {
  return text === "" ? Uint8Array.of(2, 0, 0, 0) : posixAclFromDisk(formatAcl(acl(text)))!;
}

Deno.test("withMode, withinMode and modeOf: the mask stands for the group", () => {
  assert.equal(modeOf(acl("u7 g5 o1")), 0o751);
  assert.equal(modeOf(acl("u7 U5=6 g5 m2 o1")), 0o721);
  assert.equal(isMoreThanMode(acl("u7 g5 o1")), false);
  assert.equal(isMoreThanMode(acl("u7 g5 m7 o1")), true);
  assert.deepEqual(withMode(acl("u7 U5=6 g5 m2 o1"), 0o640), acl("u6 U5=6 g5 m4 o0"));
  assert.deepEqual(withMode(acl("u7 g5 o1"), 0o640), acl("u6 g4 o0"));
  assert.deepEqual(withinMode(acl("u7 U5=6 g5 m6 o5"), 0o664), acl("u6 U5=6 g5 m6 o4"));
  assert.deepEqual(withinMode(acl("u5 g6 o1"), 0o666), acl("u4 g6 o0"));
  assert.throws(() => modeOf(acl("u7 g5")), (error: FsError) => error.code === "EUCLEAN");
});

const ACLS = [
  "u7 g5 o5",
  "u6 g4 o0",
  "u7 U1000=6 g5 m7 o0",
  "u7 U1000=7 U1001=4 g7 G50=5 m5 o1",
  "u0 U1000=6 g2 G1=7 m0 o7",
  "u7 g7 m3 o7",
  "",
  `u7 ${Array.from({ length: 40 }, (_, id) => `U${id}=5`).join(" ")} g5 m7 o5`,
];
const MODES = [0o777, 0o666, 0o640, 0o2775, 0o4711, 0o1777, 0o000, 0o151];
const UMASKS = [0o022, 0, 0o077, 0o27];

type Step =
  | { readonly kind: "file" | "folder" | "pipe" | "link"; readonly path: string } & {
    readonly mode: number;
    readonly umask: number;
  }
  | { readonly kind: "chmod"; readonly path: string; readonly mode: number }
  | { readonly kind: "set"; readonly path: string; readonly name: string; readonly acl: string }
  | { readonly kind: "remove"; readonly path: string; readonly name: string };

/** Paths of folders end with a slash. */
function randomSteps(random: Random, count: number): Step[] {
  const folders = [""];
  const all: string[] = [];
  return Array.from({ length: count }, (_, index): Step => {
    const what = all.length < 4 ? 0 : random.below(10);
    if (what < 4) {
      const kind = random.pick(["file", "file", "folder", "folder", "pipe", "link"] as const);
      const path = `${random.pick(folders.slice(-5))}${kind}${index}`;
      all.push(path);
      if (kind === "folder") folders.push(`${path}/`);
      return { kind, path, mode: random.pick(MODES), umask: random.pick(UMASKS) };
    }
    const path = random.pick(all.slice(-12));
    if (what < 6 && !path.includes("link")) {
      return { kind: "chmod", path, mode: random.pick(MODES) };
    }
    const name = random.pick([ACCESS, DEFAULT]);
    if (what === 6) return { kind: "remove", path, name };
    return { kind: "set", path, name, acl: random.pick(ACLS) };
  });
}

function stepOnMount(dir: string, step: Step): string {
  const path = `${dir}/${step.path}`;
  try {
    if (step.kind === "chmod") libc.chmod(path, step.mode);
    else if (step.kind === "remove") libc.removeXattr(path, step.name);
    else if (step.kind === "set") libc.setXattr(path, step.name, valueOf(step.acl));
    else makeOnMount(path, step);
    return "";
  } catch (error) {
    if (error instanceof SystemError) return error.code;
    throw error;
  }
}

function makeOnMount(
  path: string,
  { kind, mode, umask }: { kind: string; mode: number; umask: number },
): void {
  const before = Deno.umask(umask);
  try {
    if (kind === "link") libc.symlink("target", path);
    else if (kind === "folder") libc.mkdir(path, mode);
    else libc.mknod(path, (kind === "pipe" ? S_IFIFO : S_IFREG) | mode);
  } finally {
    Deno.umask(before);
  }
}

function stepOnFileSystem(fs: FileSystem, step: Step): string {
  const names = step.path.split("/").map((name) => new TextEncoder().encode(name));
  const name = names.at(-1)!;
  const dir = names.slice(0, -1).reduce((inode, each) => inodeIn(fs, inode, each), fs.root);
  try {
    if (step.kind === "chmod") {
      setAttributes(fs, inodeIn(fs, dir, name), { mode: step.mode }, { uid: 0, gid: 0 });
    } else if (step.kind === "remove") {
      removeXattr(fs, inodeIn(fs, dir, name), new TextEncoder().encode(step.name));
    } else if (step.kind === "set") {
      const xattr = new TextEncoder().encode(step.name);
      setXattr(fs, inodeIn(fs, dir, name), xattr, valueOf(step.acl), 0);
    } else makeOnFileSystem(fs, dir, name, step);
    return "";
  } catch (error) {
    if (error instanceof FsError) return error.code;
    throw error;
  }
}

function makeOnFileSystem(
  fs: FileSystem,
  dir: Inode,
  name: Uint8Array,
  { kind, mode, umask }: { kind: string; mode: number; umask: number },
): void {
  const owner = { uid: 0, gid: 0 };
  if (kind === "link") makeSymlink(fs, dir, name, new TextEncoder().encode("target"), owner);
  else if (kind === "folder") makeDirectory(fs, dir, name, { ...owner, mode, umask });
  else {
    const type = kind === "pipe" ? S_IFIFO : S_IFREG;
    makeNode(fs, dir, name, { ...owner, mode: type | mode, umask });
  }
}

function inodeIn(fs: FileSystem, dir: Inode, name: Uint8Array): Inode {
  return fs.inode(lookup(fs, dir, name)!);
}

/** Permissions, and all attributes. */
function factsOnMount(path: string): string {
  const xattrs = libc.listXattrs(path).map((name) =>
    `${name}=${libc.getXattr(path, name).toHex()}`
  );
  return [Deno.lstatSync(path).mode!.toString(8), ...xattrs.sort()].join(" ");
}

function aclsOf(inode: Inode, fs: FileSystem): Record<string, unknown> {
  const value = (name: string) => getXattr(fs, inode, new TextEncoder().encode(name))?.toHex();
  return { mode: inode.mode.toString(8), access: value(ACCESS), default: value(DEFAULT) };
}

const LAYOUTS: Readonly<Record<string, string>> = {
  "in the inode": "-t ext4 -I 512",
  "in blocks": "-t ext4 -I 128 -b 1024",
  "beside inline data": "-t ext4 -I 256 -O inline_data",
};

for (const [layout, mke2fs] of Object.entries(LAYOUTS)) {
  Deno.test(`inheritAcls, setXattr and changeMode do what the kernel's ext4 does: ${layout}`, async () => {
    if (!requires("root", "loop", "e2fsprogs")) return;
    using folder = new TempDir();
    const image = folder.join("image");
    const theirs = folder.join("theirs");
    const dir = folder.mkdir("mnt");
    await run("mke2fs", ["-q", ...mke2fs.split(" "), image, "32M"]);
    await Deno.copyFile(image, theirs);
    const steps = randomSteps(new Random(layout.length), 600);
    let expected: string[];
    {
      await using _mount = await mountKernel(theirs, dir, "acl,user_xattr");
      expected = steps.map((step) => stepOnMount(dir, step));
    }
    {
      using opened = openForWriting(image);
      for (const [index, step] of steps.entries()) {
        assert.equal(stepOnFileSystem(opened.fs, step), expected[index], JSON.stringify(step));
      }
      assert.equal(await complaintsAfter(opened.fs, image), "");
    }
    const paths = [...new Set(steps.map(({ path }) => path))];
    const facts = async (each: string) => {
      await using _mount = await mountKernel(each, dir, "acl,user_xattr,ro");
      return paths.map((path) => `${path}: ${factsOnMount(`${dir}/${path}`)}`);
    };
    assert.deepEqual(await facts(image), await facts(theirs));
  });
}

Deno.test("inheritAcls and changeMode leave ACLs out of account where the mount does", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-t", "ext4", image, "16M"]);
  using opened = openForWriting(image, { acl: false });
  const { fs } = opened;
  const parent = valueOf("u7 U1000=6 g5 m7 o0");
  for (const name of [ACCESS, DEFAULT]) {
    setXattr(fs, fs.root, new TextEncoder().encode(name), parent, 0);
  }
  const name = new TextEncoder().encode("file");
  const file = makeNode(fs, fs.root, name, { mode: S_IFREG | 0o666, umask: 0o27, uid: 0, gid: 0 });
  assert.deepEqual(aclsOf(file, fs), { mode: "100640", access: undefined, default: undefined });
  const { access } = aclsOf(fs.root, fs);
  setAttributes(fs, fs.root, { mode: 0o700 }, { uid: 0, gid: 0 });
  assert.equal(aclsOf(fs.root, fs).access, access);
});
