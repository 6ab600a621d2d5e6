/** What is said of typical damage: the structure, the inode and the block. */

import assert from "node:assert/strict";
import { MemoryDevice } from "../src/block/memory_device.ts";
import { Ext4SuperBlock, SUPERBLOCK_OFFSET } from "../src/disk/superblock.ts";
import { FileSystem } from "../src/ext4/filesystem.ts";
import { resolvePath } from "../src/ext4/directory/path.ts";
import { readDirectory } from "../src/ext4/directory/directory.ts";
import { readBytes } from "../src/ext4/content/read.ts";
import { readSymlink } from "../src/ext4/content/symlink.ts";
import { getXattr, listXattrNames } from "../src/ext4/xattr/xattr.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { debugfs } from "./support/images.ts";
import { mkdir, pwrite, setXattr, symlink, withFile } from "./support/libc.ts";
import { pattern, writeFile } from "./support/populate_data.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** Bytes of an image, where they are found by debugfs, and its file system. */
class Patient {
  readonly #image: string;
  readonly #blockSize = 1024;
  #bytes: Uint8Array<ArrayBuffer>;

  constructor(image: string) {
    this.#image = image;
    this.#bytes = Deno.readFileSync(image);
  }

  /** Undoes all damage. */
  heal(): void {
    this.#bytes = Deno.readFileSync(this.#image);
  }

  async #ask(request: string): Promise<string> {
    return (await run("debugfs", ["-R", request, this.#image])).stdout;
  }

  /** Number of the block that holds a block of a file. */
  async blockOf(path: string, fileBlock: number): Promise<number> {
    return Number(await this.#ask(`bmap ${path} ${fileBlock}`));
  }

  /** Number of the inode, and where its record is. */
  async inode(path: string): Promise<{ ino: number; at: number; block: number }> {
    const pattern = /Inode (\d+) .*\n.*block (\d+), offset (0x[0-9a-f]+)/;
    const found = pattern.exec(await this.#ask(`imap ${path}`));
    assert.ok(found !== null, path);
    const block = Number(found[2]);
    return { ino: Number(found[1]), at: block * this.#blockSize + Number(found[3]), block };
  }

  /** First block below the root of an extent tree. */
  async extentNode(path: string): Promise<number> {
    const { at } = await this.inode(path);
    return new DataView(this.#bytes.buffer).getUint32(at + 40 + 12 + 4, true);
  }

  xattrBlock(at: number): number {
    return new DataView(this.#bytes.buffer).getUint32(at + 104, true);
  }

  put(at: number, ...bytes: number[]): void {
    this.#bytes.set(bytes, at);
  }

  putInBlock(block: number, offset: number, ...bytes: number[]): void {
    this.put(block * this.#blockSize + offset, ...bytes);
  }

  /** The first message: from the log, or of the error that an action throws. */
  complaint(action: (fs: FileSystem) => void): { message: string; code: string } {
    const logged: string[] = [];
    const add = (message: string) => void logged.push(message);
    const log = { debug() {}, info() {}, warn() {}, error: add };
    try {
      action(FileSystem.open(new MemoryDevice(this.#bytes.slice(), "image", true), { log }));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      return { message: error.message, code: error.code };
    }
    assert.ok(logged.length > 0, "nobody complained");
    return { message: logged[0], code: "logged" };
  }
}

async function makePatient(folder: TempDir, checksums: boolean): Promise<Patient> {
  const source = folder.mkdir(`source-${checksums}`);
  mkdir(`${source}/dir`);
  for (let index = 0; index < 5; index++) writeFile(`${source}/dir/${index}`, pattern(index, 10));
  mkdir(`${source}/indexed`);
  for (let index = 0; index < 200; index++) mkdir(`${source}/indexed/${"n".repeat(50)}${index}`);
  symlink("s".repeat(200), `${source}/slow`);
  withFile(`${source}/file`, (fd) => {
    for (let index = 0; index < 40; index++) pwrite(fd, pattern(index, 1024), index * 4096);
  });
  writeFile(`${source}/attributes`, pattern(1, 10));
  setXattr(`${source}/attributes`, "user.large", pattern(2, 500));
  const image = folder.join(`image-${checksums}`);
  const features = `^has_journal,${checksums ? "" : "^"}metadata_csum`;
  const options = ["-b", "1024", "-O", features, "-d", source];
  await run("mke2fs", ["-q", "-F", "-t", "ext4", ...options, image, "4M"]);
  await run("e2fsck", ["-fyD", image], { codes: [0, 1] });
  await debugfs(image, ["fallocate /dir/1 0 0"]);
  return new Patient(image);
}

function readAll(path: string): (fs: FileSystem) => void {
  return (fs) => {
    const inode = resolvePath(fs, path, { followLast: false });
    if (inode.isDirectory) [...readDirectory(fs, inode, 0)];
    else if (inode.isSymlink) readSymlink(fs, inode);
    else readBytes(fs, inode, 0, inode.size);
    for (const name of listXattrNames(fs, inode)) getXattr(fs, inode, name);
  };
}

Deno.test("FsError: damage without checksums is told with structure, inode and block", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const patient = await makePatient(folder, false);
  const check = (what: string, path: string, code: string, ...words: RegExp[]) => {
    const complaint = patient.complaint(readAll(path));
    for (const word of words) assert.match(complaint.message, word, what);
    assert.equal(complaint.code, code, `${what}: ${complaint.message}`);
    patient.heal();
  };
  const inode = (ino: number) => new RegExp(`inode ${ino}\\b`);
  const block = (number: number) => new RegExp(`block ${number}\\b`);

  patient.put(SUPERBLOCK_OFFSET + Ext4SuperBlock.s_magic.offset, 0, 0);
  check("magic", "/", "EINVAL", /magic 0x0000/);
  patient.put(SUPERBLOCK_OFFSET + Ext4SuperBlock.s_log_block_size.offset, 99);
  check("block size", "/", "EUCLEAN", /superblock.*block size/);
  patient.put(SUPERBLOCK_OFFSET + Ext4SuperBlock.s_inodes_per_group.offset, 0, 0, 0, 0);
  check("inodes of a group", "/", "EUCLEAN", /superblock.*inodes/);

  const file = await patient.inode("/file");
  const node = await patient.extentNode("/file");
  patient.putInBlock(node, 0, 0, 0);
  check("extent magic", "/file", "EUCLEAN", /extent header/, inode(file.ino), block(node));
  patient.putInBlock(node, 2, 0xff, 0xff);
  check("extent count", "/file", "EUCLEAN", /extent header/, inode(file.ino), block(node));
  patient.putInBlock(node, 12 + 4 + 4, 0xff, 0xff, 0xff, 0x7f);
  check("extent place", "/file", "EUCLEAN", /block map/, inode(file.ino), block(0x7fffffff));
  patient.putInBlock(node, 12, 0xff, 0xff, 0xff, 0xff);
  check(
    "extent order",
    "/file",
    "EUCLEAN",
    /extent \d+:.*out of order/,
    inode(file.ino),
    block(node),
  );
  patient.put(file.at + 40 + 6, 9, 0);
  check("extent depth", "/file", "EUCLEAN", /extent/, /depth 9/, inode(file.ino));
  patient.put(file.at + 0, 0, 0);
  check("mode", "/file", "EUCLEAN", /inode: mode/, inode(file.ino), block(file.block));
  patient.put(file.at + 128, 0xff, 0xff);
  check("extra size", "/file", "EUCLEAN", /inode: extra size/, inode(file.ino));

  const dir = await patient.inode("/dir");
  const leaf = await patient.blockOf("/dir", 0);
  patient.putInBlock(leaf, 12 + 4, 3, 0);
  check("record length", "/dir", "logged", /directory entry/, inode(dir.ino), block(leaf));
  const indexed = await patient.inode("/indexed");
  const root = await patient.blockOf("/indexed", 0);
  patient.putInBlock(root, 0x1c, 77);
  check("hash version", "/indexed", "logged", /index.*hash version 77/, inode(indexed.ino));
  patient.putInBlock(root, 0x20, 1, 0);
  check("index limit", "/indexed", "logged", /index/, inode(indexed.ino), block(root));

  const attributes = await patient.inode("/attributes");
  const table = patient.xattrBlock(attributes.at);
  patient.putInBlock(table, 2, 0, 0);
  check(
    "attributes",
    "/attributes",
    "EUCLEAN",
    /attribute block/,
    inode(attributes.ino),
    block(table),
  );
  patient.putInBlock(table, 32 + 8, 0xff, 0xff, 0xff, 0xff);
  check("value size", "/attributes", "EUCLEAN", /attribute value/, inode(attributes.ino));
  const slow = await patient.inode("/slow");
  patient.put(slow.at + 4, 0, 0, 9, 0);
  check("link size", "/slow", "EUCLEAN", /symbolic link/, inode(slow.ino));
});

Deno.test("FsError: a wrong checksum is EBADMSG with structure, inode and block", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const patient = await makePatient(folder, true);
  const check = (path: string, code: string, ...words: RegExp[]) => {
    const complaint = patient.complaint(readAll(path));
    for (const word of words) assert.match(complaint.message, word);
    assert.equal(complaint.code, code, complaint.message);
    patient.heal();
  };
  const file = await patient.inode("/file");
  const [node, leaf] = [await patient.extentNode("/file"), await patient.blockOf("/dir", 0)];
  const attributes = await patient.inode("/attributes");
  const table = patient.xattrBlock(attributes.at);
  const dir = await patient.inode("/dir");
  const [fileName, dirName] = [
    new RegExp(`inode ${file.ino}\\b`),
    new RegExp(`inode ${dir.ino}\\b`),
  ];

  patient.put(SUPERBLOCK_OFFSET + Ext4SuperBlock.s_mtime.offset, 1, 2, 3);
  check("/", "EBADMSG", /checksum.*superblock/);
  patient.putInBlock(2, 12, 0xaa);
  check("/", "EBADMSG", /checksum.*group descriptor/, /group 0/, /block 2\b/);
  patient.put(file.at + 8, 0xaa, 0xbb);
  check("/file", "EBADMSG", /checksum.*inode/, fileName, new RegExp(`block ${file.block}\\b`));
  patient.putInBlock(node, 12 + 8 + 3, 1);
  check("/file", "EBADMSG", /checksum.*extent/, fileName, new RegExp(`block ${node}\\b`));
  patient.putInBlock(table, 1000, 0xaa, 0xbb);
  check("/attributes", "EBADMSG", /checksum.*attribute/, new RegExp(`block ${table}\\b`));
  patient.putInBlock(leaf, 12 + 8, 0x41);
  check("/dir", "logged", /checksum.*directory/, dirName, new RegExp(`block ${leaf}\\b`));
});
