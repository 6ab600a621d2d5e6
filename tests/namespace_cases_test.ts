/** Single cases of making, removing and renaming names: errors, counts, times, what is inherited. */

import assert from "node:assert/strict";
import { DX_ROOT_INFO_OFFSET, DxRootInfo } from "../src/disk/directory.ts";
import {
  EXT4_APPEND_FL,
  EXT4_CASEFOLD_FL,
  EXT4_ENCRYPT_FL,
  EXT4_IMMUTABLE_FL,
  EXT4_INDEX_FL,
  EXT4_PROJINHERIT_FL,
  Ext4Inode,
} from "../src/disk/inode.ts";
import { readDirectory } from "../src/ext4/directory/directory.ts";
import { directoryBlock } from "../src/ext4/directory/directory_block.ts";
import { evict } from "../src/ext4/inode/evict.ts";
import type { FileSystem } from "../src/ext4/filesystem.ts";
import type { Inode } from "../src/ext4/inode/inode.ts";
import { EXT4_LINK_MAX } from "../src/ext4/inode/link_count.ts";
import { lookup, namedInode } from "../src/ext4/directory/lookup.ts";
import {
  link,
  makeDirectory,
  makeNode,
  makeSymlink,
  makeTemporary,
  removeDirectory,
  unlink,
} from "../src/ext4/directory/namespace.ts";
import { rename, RENAME_EXCHANGE, RENAME_NOREPLACE } from "../src/ext4/directory/rename.ts";
import { setXattr } from "../src/ext4/xattr/set_xattr.ts";
import { getXattr } from "../src/ext4/xattr/xattr.ts";
import { S_IFIFO, S_IFREG } from "../src/sys/stat.ts";
import { complaintsAfter, type Opened, openForWriting, setFlag } from "./support/allocation.ts";
import { bytes } from "./support/bytes.ts";
import { throwsFsError } from "./support/errors.ts";
import { mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const OWNER = { uid: 1000, gid: 1000 };
const FILE = { ...OWNER, mode: S_IFREG | 0o666, umask: 0o22 };
const FOLDER = { ...OWNER, mode: 0o777, umask: 0o22 };

interface Scene extends Opened {
  readonly image: string;
  readonly dir: Inode;
  readonly file: Inode;
}

/** A file system with a directory `dir` in it, in which is a file `file`. */
async function scene(folder: TempDir, mke2fs = "-t ext4 -b 1024"): Promise<Scene> {
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", ...mke2fs.split(" "), image, "8M"]);
  const opened = openForWriting(image);
  const { fs } = opened;
  const dir = makeDirectory(fs, fs.root, bytes("dir"), FOLDER);
  const file = makeNode(fs, dir, bytes("file"), FILE);
  return { ...opened, image, dir, file };
}

Deno.test("makeNode takes names of any bytes up to 255, and no others", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, image } = made;
  makeNode(fs, dir, new Uint8Array(255).fill(0xff), FILE);
  makeNode(fs, dir, Uint8Array.of(1), FILE);
  makeNode(fs, dir, bytes("..."), FILE);
  throwsFsError("ENAMETOOLONG", () => makeNode(fs, dir, new Uint8Array(256).fill(0x61), FILE));
  throwsFsError("ENAMETOOLONG", () => unlink(fs, dir, new Uint8Array(256).fill(0x61)));
  for (const name of [".", ".."]) {
    throwsFsError("EEXIST", () => makeNode(fs, dir, bytes(name), FILE));
    throwsFsError("EISDIR", () => unlink(fs, dir, bytes(name)));
    throwsFsError("EBUSY", () => rename(fs, dir, bytes(name), dir, bytes("new"), 0, OWNER));
    throwsFsError("EBUSY", () => rename(fs, dir, bytes("file"), dir, bytes(name), 0, OWNER));
  }
  throwsFsError("EINVAL", () => removeDirectory(fs, dir, bytes(".")));
  throwsFsError("ENOTEMPTY", () => removeDirectory(fs, dir, bytes("..")));
  for (const name of ["", "a/b", "a\0b"]) {
    throwsFsError("EINVAL", () => makeNode(fs, dir, bytes(name), FILE));
  }
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("makeNode, makeDirectory, makeSymlink, link throw EEXIST for a name that exists", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, file, image } = made;
  const before = dir.bytes.slice();
  throwsFsError("EEXIST", () => makeNode(fs, dir, bytes("file"), FILE));
  throwsFsError("EEXIST", () => makeDirectory(fs, dir, bytes("file"), FOLDER));
  throwsFsError("EEXIST", () => makeSymlink(fs, dir, bytes("file"), bytes("x"), OWNER));
  throwsFsError("EEXIST", () => link(fs, file, dir, bytes("file")));
  throwsFsError(
    "EEXIST",
    () => rename(fs, dir, bytes("file"), dir, bytes("file"), RENAME_NOREPLACE, OWNER),
  );
  throwsFsError("ENOTDIR", () => makeNode(fs, file, bytes("below"), FILE));
  assert.deepEqual(dir.bytes, before);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("directories count their subdirectories, as far as the number goes", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder, "-t ext4 -b 1024 -O ^dir_nlink");
  const { fs, dir } = made;
  assert.equal(dir.linksCount, 2);
  makeDirectory(fs, dir, bytes("first"), FOLDER);
  assert.equal(dir.linksCount, 3);
  const setLinks = (count: number) =>
    fs.change((handle) => {
      fs.modifyInode(handle, dir);
      dir.linksCount = count;
    });
  setLinks(EXT4_LINK_MAX - 1);
  makeDirectory(fs, dir, bytes("last"), FOLDER);
  assert.equal(dir.linksCount, EXT4_LINK_MAX);
  throwsFsError("EMLINK", () => makeDirectory(fs, dir, bytes("more"), FOLDER));
  makeDirectory(fs, fs.root, bytes("outside"), FOLDER);
  throwsFsError(
    "EMLINK",
    () => rename(fs, fs.root, bytes("outside"), dir, bytes("more"), 0, OWNER),
  );
  makeNode(fs, fs.root, bytes("plain"), FILE);
  throwsFsError(
    "EMLINK",
    () => rename(fs, fs.root, bytes("outside"), dir, bytes("file"), RENAME_EXCHANGE, OWNER),
  );
  // A directory in place of another one is no more than before.
  rename(fs, fs.root, bytes("outside"), dir, bytes("last"), 0, OWNER);
  assert.equal(dir.linksCount, EXT4_LINK_MAX);
  removeDirectory(fs, dir, bytes("first"));
  assert.equal(dir.linksCount, EXT4_LINK_MAX - 1);
});

Deno.test("with dir_nlink an indexed directory of too many subdirectories has one link", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, image } = made;
  const setLinks = (count: number) =>
    fs.change((handle) => {
      fs.modifyInode(handle, dir);
      dir.linksCount = count;
    });
  setLinks(EXT4_LINK_MAX);
  throwsFsError("EMLINK", () => makeDirectory(fs, dir, bytes("more"), FOLDER));
  setLinks(2);
  for (let index = 0; index < 60; index++) {
    makeNode(fs, dir, bytes(`${index}`.padEnd(40, "x")), FILE);
  }
  assert.ok(dir.hasFlag(EXT4_INDEX_FL));
  setLinks(EXT4_LINK_MAX);
  makeDirectory(fs, dir, bytes("more"), FOLDER);
  assert.equal(dir.linksCount, 1);
  makeDirectory(fs, dir, bytes("still more"), FOLDER);
  assert.equal(dir.linksCount, 1);
  removeDirectory(fs, dir, bytes("more"));
  assert.equal(dir.linksCount, 1);
  setLinks(3);
  for (const name of ["more"]) evict(fs, namedOrphan(fs, name));
  assert.equal(await complaintsAfter(fs, image), "");
});

/** The only inode without links. */
function namedOrphan(fs: FileSystem, what: string): Inode {
  const [ino, ...others] = fs.unlinkedInodes;
  assert.ok(ino !== undefined && others.length === 0, what);
  return fs.inode(ino);
}

Deno.test("link throws EMLINK, EPERM for directories, and makes a temporary file an ordinary one", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, file, image } = made;
  throwsFsError("EPERM", () => link(fs, dir, dir, bytes("again")));
  fs.change((handle) => {
    fs.modifyInode(handle, file);
    file.linksCount = EXT4_LINK_MAX;
  });
  throwsFsError("EMLINK", () => link(fs, file, dir, bytes("again")));
  fs.change((handle) => {
    fs.modifyInode(handle, file);
    file.linksCount = 1;
  });
  const temporary = makeTemporary(fs, dir, FILE);
  assert.equal(temporary.linksCount, 0);
  assert.ok(fs.unlinkedInodes.has(temporary.ino));
  link(fs, temporary, dir, bytes("now"));
  assert.equal(temporary.linksCount, 1);
  assert.equal(fs.unlinkedInodes.size, 0);
  const gone = makeTemporary(fs, dir, FILE);
  evict(fs, gone);
  assert.equal(lookup(fs, dir, bytes("now")), temporary.ino);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("unlink keeps a file without links until it is evicted", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, file, image } = made;
  link(fs, file, dir, bytes("second"));
  assert.equal(unlink(fs, dir, bytes("file")), file);
  assert.equal(file.linksCount, 1);
  assert.equal(fs.unlinkedInodes.size, 0);
  assert.equal(unlink(fs, dir, bytes("second")), file);
  assert.equal(file.linksCount, 0);
  assert.equal(fs.inode(file.ino), file);
  evict(fs, file);
  throwsFsError("ESTALE", () => fs.inode(file.ino));
  throwsFsError("ENOENT", () => unlink(fs, dir, bytes("file")));
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("removeDirectory throws ENOTEMPTY and ENOTDIR; nothing comes into what was removed", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, image } = made;
  throwsFsError("ENOTEMPTY", () => removeDirectory(fs, fs.root, bytes("dir")));
  throwsFsError("ENOTDIR", () => removeDirectory(fs, dir, bytes("file")));
  throwsFsError("EISDIR", () => unlink(fs, fs.root, bytes("dir")));
  evict(fs, unlink(fs, dir, bytes("file")));
  const links = fs.root.linksCount;
  assert.equal(removeDirectory(fs, fs.root, bytes("dir")), dir);
  assert.equal(fs.root.linksCount, links - 1);
  throwsFsError("ENOENT", () => makeNode(fs, dir, bytes("late"), FILE));
  evict(fs, dir);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("removeDirectory verifies each block: one that is damaged may have names", async () => {
  if (!requires("e2fsprogs")) return;
  for (const features of ["metadata_csum", "^metadata_csum"]) {
    using folder = new TempDir();
    using made = await scene(folder, `-t ext4 -b 1024 -O ${features}`);
    const { fs, dir, complaints } = made;
    for (let index = 0; index < 60; index++) {
      makeNode(fs, dir, bytes(`${index}`.padEnd(40, "x")), FILE);
    }
    for (let index = 0; index < 60; index++) unlink(fs, dir, bytes(`${index}`.padEnd(40, "x")));
    unlink(fs, dir, bytes("file"));
    fs.writing.transactions.writeBack();
    const leaf = directoryBlock(fs, dir, 2)!;
    leaf.view.setUint16(4, 7, true);
    leaf.verifiedAs = 0;
    throwsFsError("ENOTEMPTY", () => removeDirectory(fs, fs.root, bytes("dir")));
    assert.match(complaints.join("\n"), /Corrupt directory entry|Bad checksum/);
    leaf.view.setUint16(4, features.startsWith("^") ? 1024 : 1012, true);
    removeDirectory(fs, fs.root, bytes("dir"));
  }
});

Deno.test("protected directories and files keep their names: EPERM", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, file, image } = made;
  const other = makeDirectory(fs, fs.root, bytes("other"), FOLDER);
  const from = makeNode(fs, other, bytes("from"), FILE);
  setFlag(fs, dir, EXT4_IMMUTABLE_FL);
  throwsFsError("EEXIST", () => makeNode(fs, dir, bytes("file"), FILE));
  throwsFsError("EPERM", () => makeNode(fs, dir, bytes("new"), FILE));
  throwsFsError("EPERM", () => makeDirectory(fs, dir, bytes("new"), FOLDER));
  throwsFsError("EPERM", () => makeSymlink(fs, dir, bytes("new"), bytes("x"), OWNER));
  throwsFsError("EPERM", () => makeTemporary(fs, dir, FILE));
  throwsFsError("EPERM", () => link(fs, from, dir, bytes("new")));
  throwsFsError("EPERM", () => unlink(fs, dir, bytes("file")));
  throwsFsError("EPERM", () => rename(fs, dir, bytes("file"), other, bytes("new"), 0, OWNER));
  throwsFsError("EPERM", () => rename(fs, other, bytes("from"), dir, bytes("new"), 0, OWNER));
  throwsFsError("EPERM", () => rename(fs, other, bytes("from"), dir, bytes("file"), 0, OWNER));
  throwsFsError("EPERM", () => removeDirectory(fs, fs.root, bytes("dir")));
  throwsFsError("EPERM", () => rename(fs, fs.root, bytes("dir"), other, bytes("new"), 0, OWNER));
  setFlag(fs, dir, EXT4_IMMUTABLE_FL, false);

  setFlag(fs, dir, EXT4_APPEND_FL);
  makeNode(fs, dir, bytes("added"), FILE);
  rename(fs, other, bytes("from"), dir, bytes("moved in"), 0, OWNER);
  throwsFsError("EPERM", () => unlink(fs, dir, bytes("file")));
  throwsFsError("EPERM", () => rename(fs, dir, bytes("file"), other, bytes("new"), 0, OWNER));
  setFlag(fs, dir, EXT4_APPEND_FL, false);

  for (const flag of [EXT4_IMMUTABLE_FL, EXT4_APPEND_FL]) {
    setFlag(fs, file, flag);
    throwsFsError("EPERM", () => unlink(fs, dir, bytes("file")));
    throwsFsError("EPERM", () => link(fs, file, dir, bytes("new")));
    throwsFsError("EPERM", () => rename(fs, dir, bytes("file"), dir, bytes("new"), 0, OWNER));
    throwsFsError("EPERM", () => rename(fs, dir, bytes("added"), dir, bytes("file"), 0, OWNER));
    setFlag(fs, file, flag, false);
  }
  unlink(fs, dir, bytes("file"));
  evict(fs, file);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("files of another project do not come into a directory that passes its own on: EXDEV", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder, "-t ext4 -b 1024 -I 256 -O project");
  const { fs, dir, file } = made;
  const other = makeDirectory(fs, fs.root, bytes("other"), FOLDER);
  fs.change((handle) => {
    fs.modifyInode(handle, other);
    Ext4Inode.i_projid.set(other.view, 0, 42);
  });
  setFlag(fs, other, EXT4_PROJINHERIT_FL);
  throwsFsError("EXDEV", () => link(fs, file, other, bytes("new")));
  throwsFsError("EXDEV", () => rename(fs, dir, bytes("file"), other, bytes("new"), 0, OWNER));
  const inside = makeNode(fs, other, bytes("inside"), FILE);
  assert.equal(inside.projectId, 42);
  throwsFsError(
    "EXDEV",
    () => rename(fs, other, bytes("inside"), dir, bytes("file"), RENAME_EXCHANGE, OWNER),
  );
  // To leave it is nobody's concern.
  rename(fs, other, bytes("inside"), dir, bytes("outside"), 0, OWNER);
});

Deno.test("encrypted directories take no names without the key: ENOKEY", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder, "-t ext4 -b 1024 -O encrypt");
  const { fs, dir, file } = made;
  makeNode(fs, fs.root, bytes("plain"), FILE);
  setFlag(fs, dir, EXT4_ENCRYPT_FL);
  throwsFsError("ENOKEY", () => makeNode(fs, dir, bytes("new"), FILE));
  throwsFsError("ENOKEY", () => makeDirectory(fs, dir, bytes("new"), FOLDER));
  throwsFsError("ENOKEY", () => makeSymlink(fs, dir, bytes("new"), bytes("x"), OWNER));
  throwsFsError("ENOKEY", () => makeTemporary(fs, dir, FILE));
  throwsFsError("ENOKEY", () => link(fs, file, dir, bytes("new")));
  throwsFsError("ENOKEY", () => rename(fs, fs.root, bytes("plain"), dir, bytes("new"), 0, OWNER));
});

Deno.test("unlink and removeDirectory find encrypted names by their no-key form", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-b", "1024", "-O", "encrypt", image, "8M"]);
  {
    await using mounted = await mountKernel(image, folder.mkdir("mnt"), "test_dummy_encryption");
    const dir = `${mounted.dir}/secret`;
    Deno.mkdirSync(dir);
    for (let index = 0; index < 100; index++) {
      Deno.writeTextFileSync(`${dir}/${`${index}`.padEnd(index, "x")}`, "");
    }
    Deno.symlinkSync("nowhere".repeat(20), `${dir}/link`);
  }
  using opened = openForWriting(image);
  const { fs } = opened;
  const [secret] = [...readDirectory(fs, fs.root, 0)]
    .filter(({ ino }) => fs.inode(ino).isEncrypted);
  const dir = fs.inode(secret.ino);
  const names = [...readDirectory(fs, dir, 0)].map(({ name }) => name).slice(2);
  assert.equal(names.length, 101);
  for (const name of names) evict(fs, unlink(fs, dir, name));
  evict(fs, removeDirectory(fs, fs.root, secret.name));
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("names that are not UTF-8 are EINVAL in casefolded directories in strict mode", async () => {
  if (!requires("e2fsprogs")) return;
  for (const mode of ["strict", "lax"]) {
    using folder = new TempDir();
    const strict = mode === "strict" ? ",encoding_flags=strict" : "";
    const options = `-O casefold -E encoding=utf8${strict}`;
    using made = await scene(folder, `-t ext4 -b 1024 ${options}`);
    const { fs, file } = made;
    const folding = makeDirectory(fs, fs.root, bytes("folding"), FOLDER);
    setFlag(fs, folding, EXT4_CASEFOLD_FL);
    const odd = Uint8Array.of(0x61, 0xff);
    if (mode === "strict") {
      throwsFsError("EINVAL", () => makeNode(fs, folding, odd, FILE));
      throwsFsError("EINVAL", () => link(fs, file, folding, odd));
    } else makeNode(fs, folding, odd, FILE);
    makeNode(fs, fs.root, odd, FILE);
    makeNode(fs, folding, bytes("Stra\u00dfe"), FILE);
    throwsFsError("EEXIST", () => makeNode(fs, folding, bytes("STRASSE"), FILE));
    // As for the kernel, a name that differs in case only is the same name.
    rename(fs, folding, bytes("strasse"), folding, bytes("STRASSE"), 0, OWNER);
    const below = makeDirectory(fs, folding, bytes("Sub"), FOLDER);
    assert.ok(below.hasFlag(EXT4_CASEFOLD_FL));
    assert.equal(unlink(fs, folding, bytes("sTRASSE")).linksCount, 0);
  }
});

Deno.test("a directory below itself is EINVAL, an ancestor in its way ENOTEMPTY", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, image } = made;
  const below = makeDirectory(fs, dir, bytes("below"), FOLDER);
  const deep = makeDirectory(fs, below, bytes("deep"), FOLDER);
  makeNode(fs, deep, bytes("leaf"), FILE);
  throwsFsError("EINVAL", () => rename(fs, fs.root, bytes("dir"), dir, bytes("new"), 0, OWNER));
  throwsFsError("EINVAL", () => rename(fs, fs.root, bytes("dir"), deep, bytes("new"), 0, OWNER));
  throwsFsError("EINVAL", () => rename(fs, dir, bytes("below"), deep, bytes("leaf"), 0, OWNER));
  throwsFsError(
    "ENOTEMPTY",
    () => rename(fs, below, bytes("deep"), fs.root, bytes("dir"), 0, OWNER),
  );
  throwsFsError(
    "EINVAL",
    () => rename(fs, deep, bytes("leaf"), fs.root, bytes("dir"), RENAME_EXCHANGE, OWNER),
  );
  throwsFsError("EINVAL", () => rename(fs, dir, bytes("file"), dir, bytes("new"), 8, OWNER));
  throwsFsError("EINVAL", () => rename(fs, dir, bytes("file"), dir, bytes("new"), 3, OWNER));
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("a change of names shows in the directory's times and version, and in the file's ctime", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, file, image } = made;
  const version = () => Ext4Inode.l_i_version.get(dir.view, 0);
  const changes: (() => unknown)[] = [
    () => makeNode(fs, dir, bytes("new"), FILE),
    () => link(fs, file, dir, bytes("link")),
    () => unlink(fs, dir, bytes("link")),
    () => rename(fs, dir, bytes("file"), dir, bytes("renamed"), 0, OWNER),
    () => rename(fs, dir, bytes("new"), dir, bytes("renamed"), RENAME_EXCHANGE, OWNER),
  ];
  for (const change of changes) {
    const before = { mtime: dir.mtime, ctime: dir.ctime, version: version(), file: file.ctime };
    change();
    assert.ok(dir.mtime.sec > before.mtime.sec);
    assert.deepEqual(dir.mtime, dir.ctime);
    assert.ok(version() > before.version);
    if (change !== changes[0]) assert.ok(file.ctime.sec > before.file.sec);
  }
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("new files take the umask, or their directory's default ACL, and its group", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, file, image } = made;
  assert.equal(file.mode, S_IFREG | 0o644);
  assert.equal(makeDirectory(fs, dir, bytes("sub"), FOLDER).mode & 0o7777, 0o755);
  assert.equal(makeSymlink(fs, dir, bytes("link"), bytes("x"), OWNER).mode & 0o7777, 0o777);
  assert.equal(
    makeNode(fs, dir, bytes("fifo"), { ...FILE, mode: S_IFIFO | 0o6777 }).mode & 0o7777,
    0o6755,
  );
  const acl = Uint8Array.from([
    ...[2, 0, 0, 0],
    ...[1, 0, 7, 0, 255, 255, 255, 255],
    ...[2, 0, 6, 0, 77, 0, 0, 0],
    ...[4, 0, 5, 0, 255, 255, 255, 255],
    ...[16, 0, 7, 0, 255, 255, 255, 255],
    ...[32, 0, 0, 0, 255, 255, 255, 255],
  ]);
  setXattr(fs, dir, bytes("system.posix_acl_default"), acl, 0);
  const inherits = makeNode(fs, dir, bytes("acl"), FILE);
  assert.equal(inherits.mode & 0o777, 0o660);
  assert.ok(getXattr(fs, inherits, bytes("system.posix_acl_access")) !== undefined);
  const sub = makeDirectory(fs, dir, bytes("acl sub"), FOLDER);
  assert.deepEqual(getXattr(fs, sub, bytes("system.posix_acl_default")), acl);
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("makeSymlink takes targets up to a block less one byte", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder);
  const { fs, dir, image } = made;
  makeSymlink(fs, dir, bytes("longest"), new Uint8Array(1023).fill(0x61), OWNER);
  throwsFsError(
    "ENAMETOOLONG",
    () => makeSymlink(fs, dir, bytes("a"), new Uint8Array(1024).fill(1), OWNER),
  );
  throwsFsError(
    "EEXIST",
    () => makeSymlink(fs, dir, bytes("file"), new Uint8Array(1024).fill(1), OWNER),
  );
  throwsFsError("ENOENT", () => makeSymlink(fs, dir, bytes("a"), new Uint8Array(0), OWNER));
  assert.equal(await complaintsAfter(fs, image), "");
});

Deno.test("addName changes a block that has left the cache since it was looked through", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder, "-t ext4 -b 1024 -O ^dir_index");
  for (let index = 0; index < 120; index++) {
    makeNode(made.fs, made.dir, bytes(`${index}`.padEnd(250, "x")), FILE);
  }
  unlink(made.fs, made.dir, bytes("0".padEnd(250, "x")));
  made.fs.stopWriting();
  // The cache has room for fewer blocks than the directory has.
  using opened = openForWriting(made.image, {}, { cacheBytes: 0 });
  const { fs } = opened;
  const dir = namedInode(fs, fs.root, bytes("dir"))!;
  makeNode(fs, dir, bytes("new"), FILE);
  assert.ok(lookup(fs, dir, bytes("new")) !== undefined);
  evict(fs, unlink(fs, dir, bytes("119".padEnd(250, "x"))));
  assert.equal(await complaintsAfter(fs, made.image), "");
});

// ---------------------------------------------------------------- damage

/** A scene whose directory has an index. */
async function indexedScene(folder: TempDir, features: string): Promise<Scene> {
  const opened = await scene(folder, `-t ext4 -b 1024 -O ${features}`);
  for (let index = 0; index < 60; index++) {
    makeNode(opened.fs, opened.dir, bytes(`${index}`.padEnd(40, "x")), FILE);
  }
  assert.ok(opened.dir.hasFlag(EXT4_INDEX_FL));
  return opened;
}

Deno.test("addName gives up a damaged index, but not where leaves would get wrong checksums", async () => {
  if (!requires("e2fsprogs")) return;
  for (const features of ["metadata_csum", "^metadata_csum"]) {
    using folder = new TempDir();
    using made = await indexedScene(folder, features);
    const { fs, dir, complaints, image } = made;
    const root = directoryBlock(fs, dir, 0)!;
    fs.change((handle) => {
      handle.modify(root);
      DxRootInfo.hash_version.set(root.view, DX_ROOT_INFO_OFFSET, 99);
    });
    assert.ok(lookup(fs, dir, bytes("file")) !== undefined);
    assert.match(complaints.join("\n"), /Corrupt directory index/);
    if (features === "metadata_csum") {
      throwsFsError("EUCLEAN", () => makeNode(fs, dir, bytes("new"), FILE));
      assert.equal(lookup(fs, dir, bytes("new")), undefined);
      continue;
    }
    unlink(fs, dir, bytes("0".padEnd(40, "x")));
    assert.ok(dir.hasFlag(EXT4_INDEX_FL));
    makeNode(fs, dir, bytes("new"), FILE);
    assert.ok(!dir.hasFlag(EXT4_INDEX_FL));
    for (let index = 0; index < 60; index++) {
      makeNode(fs, dir, bytes(`more ${index}`.padEnd(40, "x")), FILE);
    }
    assert.ok(!dir.hasFlag(EXT4_INDEX_FL));
    assert.ok(lookup(fs, dir, bytes("59".padEnd(40, "x"))) !== undefined);
    for (const ino of fs.unlinkedInodes) evict(fs, fs.inode(ino));
    assert.equal(await complaintsAfter(fs, image), "");
  }
});

Deno.test("a directory with an index loses it on a file system without dir_index", async () => {
  if (!requires("e2fsprogs")) return;
  for (const removal of [false, true]) {
    using folder = new TempDir();
    using first = await indexedScene(folder, "^metadata_csum");
    const { image } = first;
    first.fs.stopWriting();
    await run("tune2fs", ["-O", "^dir_index", image]);
    using opened = openForWriting(image);
    const { fs } = opened;
    const dir = namedInode(fs, fs.root, bytes("dir"))!;
    assert.ok(dir.hasFlag(EXT4_INDEX_FL));
    if (removal) evict(fs, unlink(fs, dir, bytes("file")));
    else makeNode(fs, dir, bytes("new"), FILE);
    assert.ok(!dir.hasFlag(EXT4_INDEX_FL));
    assert.ok(lookup(fs, dir, bytes("59".padEnd(40, "x"))) !== undefined);
    assert.equal(await complaintsAfter(fs, image), "");
  }
});

Deno.test("a damaged entry or a wrong .. stops a change, and nothing has happened", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  using made = await scene(folder, "-t ext4 -b 1024 -O ^metadata_csum");
  const { fs, dir } = made;
  const sub = makeDirectory(fs, dir, bytes("sub"), FOLDER);
  const dots = directoryBlock(fs, sub, 0)!;
  dots.view.setUint32(12, 2, true);
  throwsFsError("EUCLEAN", () => rename(fs, dir, bytes("sub"), fs.root, bytes("moved"), 0, OWNER));
  assert.equal(lookup(fs, dir, bytes("sub")), sub.ino);
  assert.equal(lookup(fs, fs.root, bytes("moved")), undefined);
  const block = directoryBlock(fs, dir, 0)!;
  const at = 24;
  block.view.setUint16(at + 4, 13, true);
  const before = block.bytes.slice();
  throwsFsError("EUCLEAN", () => makeNode(fs, dir, bytes("new"), FILE));
  throwsFsError("EUCLEAN", () => unlink(fs, dir, bytes("file")));
  assert.deepEqual(block.bytes, before);
});
