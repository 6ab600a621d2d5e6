/** The mount options: their table, their parser, and what libfuse gets of them. */

import assert from "node:assert/strict";
import { optionsDocument } from "../src/cli/mount_options_help.ts";
import { joinOptions, libfuseOptions } from "../src/mount/libfuse_options.ts";
import { escapeOption, parseSize, splitOptionList } from "../src/mount/option_list.ts";
import { MOUNT_OPTIONS } from "../src/mount/option_table.ts";
import { findMountOption, parseMountOptions } from "../src/mount/options.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { run } from "./support/run.ts";

const EINVAL = 22;

function rejects(list: string, words: RegExp): void {
  assert.throws(
    () => parseMountOptions([list]),
    (error: unknown) =>
      error instanceof FsError && error.errno === EINVAL && words.test(error.message),
    list,
  );
}

Deno.test("splitOptionList takes escapes as libfuse does", () => {
  assert.deepEqual(splitOptionList("ro,,rw"), ["ro", "rw"]);
  assert.deepEqual(splitOptionList("fsname=a\\,b,c\\\\d"), ["fsname=a,b", "c\\d"]);
  assert.deepEqual(splitOptionList("a\\040b\\054c"), ["a b,c"]);
  assert.deepEqual(splitOptionList("end\\"), ["end\\"]);
});

Deno.test("escapeOption is undone by splitOptionList", () => {
  for (const option of ["plain", "a,b", "back\\slash", "\\,", "x\\054"]) {
    assert.deepEqual(splitOptionList(escapeOption(option)), [option]);
  }
});

Deno.test("parseSize knows binary units and nothing else", () => {
  assert.equal(parseSize("x", "32m"), 32 * 1024 * 1024);
  assert.equal(parseSize("x", "4K"), 4096);
  assert.equal(parseSize("x", "0"), 0);
  for (const text of ["", "-1", "1.5", "0x10", "1kb", "9999999t"]) {
    assert.throws(() => parseSize("x", text), FsError, text);
  }
});

Deno.test("parseMountOptions: each name stands for one row only", () => {
  const names = MOUNT_OPTIONS.flatMap((row) => row.names);
  assert.equal(new Set(names).size, names.length);
});

Deno.test("parseMountOptions accepts every option of the table", () => {
  const values: Record<string, string> = {
    ...{
      iomap: "1",
      iomap_bpf: "demo",
      errors: "continue",
      user: "root",
      data: "ordered",
      barrier: "1",
    },
  };
  for (const { names, argument, argumentIsOptional } of MOUNT_OPTIONS) {
    for (const name of names) {
      const word = name.replace("*", "anything");
      if (argument === undefined || argumentIsOptional) parseMountOptions([word]);
      if (argument !== undefined) parseMountOptions([`${word}=${values[name] ?? "65536"}`]);
    }
  }
});

Deno.test("parseMountOptions: an unknown option is an error that names it", () => {
  rejects("ro,frobnicate=3", /'frobnicate=3'/);
  rejects("uid=1000", /'uid=1000'/);
});

Deno.test("parseMountOptions: values are needed, or not wanted, as the table says", () => {
  rejects("offset", /offset=BYTES/);
  rejects("offset=", /offset=BYTES/);
  rejects("ro=1", /'ro' takes no value/);
  rejects("partition=0", /partition/);
  rejects("errors=explode", /explode/);
  rejects("cache_size=3g", /cache_size/);
  rejects("iomap=maybe", /iomap/);
  rejects("entry_timeout=soon", /entry_timeout/);
  rejects("offset=512,partition=1", /exclude/);
});

Deno.test("parseMountOptions: the last of contradicting options counts", () => {
  assert.equal(parseMountOptions(["ro", "rw"]).readOnly, false);
  assert.equal(parseMountOptions(["rw,ro"]).readOnly, true);
  assert.equal(parseMountOptions(["norecovery,rw"]).readOnly, true);
  assert.equal(parseMountOptions(["noacl,acl"]).acl, true);
});

Deno.test("parseMountOptions reads the options of fuse2fs", () => {
  const settings = parseMountOptions([
    "ro,minixdf,fakeroot,offset=1048576,cache_size=64m,direct,noload,lockfile=/run/l",
    "fuse2fs_debug,errors=remount-ro,no_default_opts,kernel,dirsync,lazytime,strictatime",
  ]);
  assert.equal(settings.minixdf, true);
  assert.equal(settings.fakeroot, true);
  assert.equal(settings.offset, 1 << 20);
  assert.equal(settings.cacheBytes, 64 << 20);
  assert.equal(settings.direct, true);
  assert.equal(settings.norecovery, true);
  assert.equal(settings.lockfile, "/run/l");
  assert.equal(settings.debug, true);
  assert.equal(settings.errors, "remount-ro");
  assert.equal(settings.kernel, true);
  assert.equal(settings.dirsync, true);
  assert.equal(settings.accessTimes, "always");
});

Deno.test("parseMountOptions: commit= counts seconds, and 0 is the default", () => {
  assert.equal(parseMountOptions([]).commitSeconds, 5);
  assert.equal(parseMountOptions(["commit=30"]).commitSeconds, 30);
  assert.equal(parseMountOptions(["commit=0"]).commitSeconds, 5);
  rejects("commit=soon", /commit/);
});

Deno.test("parseMountOptions: data=journal is refused, since data are not journaled", () => {
  parseMountOptions(["data=ordered,data=writeback"]);
  rejects("data=journal", /cannot be journaled/);
  rejects("data=fast", /'fast' is not ordered or writeback/);
});

Deno.test("parseMountOptions: rules for times of access", () => {
  const rule = (list: string) => parseMountOptions([list]).accessTimes;
  assert.equal(rule("rw"), "relative");
  assert.equal(rule("noatime"), "never");
  assert.equal(rule("noatime,strictatime"), "always");
  assert.equal(rule("strictatime,relatime"), "relative");
  assert.equal(parseMountOptions(["nodiratime"]).directoryAccessTimes, false);
});

Deno.test("findMountOption: fstab's own options are ignored, with the reason", () => {
  for (const name of ["defaults", "discard", "x-systemd.automount", "nofail"]) {
    assert.equal(findMountOption(name)?.effect, "ignored", name);
  }
});

Deno.test("libfuseOptions: source and type by default, the user's own last", () => {
  const plain = parseMountOptions(["ro,nosuid"]);
  assert.deepEqual(libfuseOptions(plain, "/dev/sda1", true, 4096), [
    "ro",
    "fsname=/dev/sda1",
    "subtype=fuse4fs",
    "default_permissions",
    "nosuid",
  ]);
  const own = parseMountOptions(["fsname=mine,no_default_opts,fakeroot"]);
  assert.deepEqual(libfuseOptions(own, "/dev/sda1", true, 4096), ["ro", "fsname=mine"]);
});

Deno.test("libfuseOptions: kernel stands for what a kernel mount allows", () => {
  const options = libfuseOptions(parseMountOptions(["kernel,nodev"]), "x", true, 4096);
  for (const name of ["allow_other", "default_permissions", "suid", "dev"]) {
    assert.ok(options.includes(name), name);
  }
  assert.ok(options.indexOf("nodev") > options.indexOf("dev"));
});

Deno.test("joinOptions escapes what libfuse would take apart", () => {
  assert.equal(joinOptions(["ro", "fsname=/a,b\\c"]), "ro,fsname=/a\\,b\\\\c");
});

const CONFIG = new URL("../deno.json", import.meta.url).pathname;

/** The page as deno fmt leaves it. */
async function formattedDocument(): Promise<string> {
  const args = ["fmt", "--config", CONFIG, "--ext", "md", "-"];
  return (await run(Deno.execPath(), args, { input: optionsDocument() })).stdout;
}

Deno.test("docs/options.md is what the table says", async () => {
  const path = new URL("../docs/options.md", import.meta.url);
  const expected = await formattedDocument();
  if (Deno.env.get("UPDATE_DOCS") === "1") Deno.writeTextFileSync(path, expected);
  assert.equal(
    Deno.readTextFileSync(path),
    expected,
    "write it anew with UPDATE_DOCS=1 deno task test tests/mount_options_test.ts",
  );
});
