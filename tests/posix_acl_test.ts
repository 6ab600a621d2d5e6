import assert from "node:assert/strict";
import { ACL_UNDEFINED_ID } from "../src/disk/acl.ts";
import {
  AclTag,
  formatAcl,
  parseAcl,
  parsePosixAcl,
  posixAclFromDisk,
} from "../src/ext4/xattr/posix_acl.ts";
import { Errno, errnoWords } from "../src/sys/errno.ts";
import { FsError } from "../src/sys/fs_error.ts";
import { askDebugfs } from "./support/debugfs.ts";
import { mountKernel } from "./support/mount.ts";
import { Random } from "./support/random.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const ACCESS = "system.posix_acl_access";
const DEFAULT = "system.posix_acl_default";

/** ACLs that setfacl makes, by the name of their file. */
const SETFACL: Record<string, readonly string[]> = {
  "named-user": ["-m", "u:1000:rw"],
  "named-group": ["-m", "g:2000:r-x"],
  "many": ["-m", "u:1000:rwx,u:1001:---,u:4294967294:r--,g:0:-w-,g:77:--x,m::r-x"],
  "mask-only": ["-m", "m::---"],
};
const DEFAULT_SETFACL: Record<string, readonly string[]> = {
  "minimal-default": ["-d", "-m", "u::rwx,g::r-x,o::---"],
  "named-default": ["-d", "-m", "u::rwx,u:5:r--,g::r-x,g:6:rw-,o::r--"],
};

/** An entry in the form of user space. */
function entry(tag: number, permissions: number, id = ACL_UNDEFINED_ID): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, tag, true);
  view.setUint16(2, permissions, true);
  view.setUint32(4, id, true);
  return bytes;
}

function value(...entries: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from([2, 0, 0, 0, ...entries.flatMap((each) => [...each])]);
}

const { USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER } = AclTag;
const OWNER = entry(USER_OBJ, 6);
const OWNING_GROUP = entry(GROUP_OBJ, 4);
const OTHERS = entry(OTHER, 0);

const VALID: Record<string, Uint8Array> = {
  "three entries": value(OWNER, OWNING_GROUP, OTHERS),
  "a mask": value(OWNER, OWNING_GROUP, entry(MASK, 7), OTHERS),
  "a user": value(OWNER, entry(USER, 7, 5), OWNING_GROUP, entry(MASK, 1), OTHERS),
  "users out of order, and twice": value(
    OWNER,
    entry(USER, 7, 9),
    entry(USER, 6, 5),
    entry(USER, 0, 9),
    OWNING_GROUP,
    entry(GROUP, 5, 0),
    entry(MASK, 1),
    OTHERS,
  ),
  "ids where they mean nothing": value(entry(USER_OBJ, 6, 77), entry(GROUP_OBJ, 4, 0), OTHERS),
  "no entries": value(),
};

const INVALID: Record<string, Uint8Array> = {
  "nothing": new Uint8Array(0),
  "half a header": new Uint8Array(3),
  "version 1": Uint8Array.from([1, ...VALID["a mask"].subarray(1)]),
  "half an entry": VALID["a mask"].subarray(0, -4),
  "no owner": value(OWNING_GROUP, OTHERS),
  "no group": value(OWNER, OTHERS),
  "no others": value(OWNER, OWNING_GROUP),
  "a user without a mask": value(OWNER, entry(USER, 7, 5), OWNING_GROUP, OTHERS),
  "a group without a mask": value(OWNER, OWNING_GROUP, entry(GROUP, 7, 5), OTHERS),
  "entries out of order": value(OWNER, OTHERS, OWNING_GROUP),
  "two owners": value(OWNER, OWNER, OWNING_GROUP, OTHERS),
  "two masks": value(OWNER, OWNING_GROUP, entry(MASK, 1), entry(MASK, 1), OTHERS),
  "permissions that are none": value(entry(USER_OBJ, 8), OWNING_GROUP, OTHERS),
  "an unknown tag": value(OWNER, OWNING_GROUP, OTHERS, entry(0x40, 0)),
  "two tags in one": value(OWNER, entry(USER | USER_OBJ, 0, 5), OWNING_GROUP, OTHERS),
  "a user that is nobody": value(OWNER, entry(USER, 7), OWNING_GROUP, entry(MASK, 1), OTHERS),
};

/** Errno of what parsePosixAcl throws, or 0. */
function errnoOf(acl: Uint8Array): number {
  try {
    parsePosixAcl(acl);
    return 0;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return error.errno;
  }
}

for (const [name, acl] of Object.entries(VALID)) {
  Deno.test(`parsePosixAcl: to the disk and back, an ACL with ${name}`, () => {
    const entries = parsePosixAcl(acl);
    assert.equal(entries.length === 0, acl.length === 4);
    const stored = formatAcl(entries);
    assert.deepEqual(parseAcl(stored), entries);
    const back = posixAclFromDisk(stored);
    if (entries.length === 0) assert.equal(back, undefined);
    else assert.deepEqual(parsePosixAcl(back!), entries);
  });
}

for (const [name, acl] of Object.entries(INVALID)) {
  Deno.test(`parsePosixAcl: refuses ${name}`, () => {
    const expected = name === "version 1" ? Errno.EOPNOTSUPP : Errno.EINVAL;
    assert.equal(errnoOf(acl), expected);
  });
}

Deno.test("posixAclFromDisk: no entries are no ACL", () => {
  assert.equal(posixAclFromDisk(Uint8Array.of(1, 0, 0, 0)), undefined);
});

Deno.test("parseAcl: bytes of chance give entries or EUCLEAN", () => {
  const random = new Random(0xac1);
  const whole = formatAcl(parsePosixAcl(VALID["users out of order, and twice"]));
  let failures = 0;
  for (let round = 0; round < 3000; round++) {
    const stored = whole.slice(0, random.below(whole.length + 1));
    for (let flips = random.below(4); flips > 0 && stored.length > 0; flips--) {
      stored[random.below(stored.length)] ^= 1 << random.below(8);
    }
    try {
      parseAcl(stored);
    } catch (error) {
      assert.ok(error instanceof FsError, String(error));
      assert.equal(error.errno, Errno.EUCLEAN);
      failures++;
    }
  }
  assert.ok(failures > 1000, `only ${failures} failures`);
});

async function withKernelMount(
  act: (dir: string) => Promise<void>,
  after: (image: string) => Promise<void> = async () => {},
): Promise<void> {
  using folder = new TempDir();
  const image = folder.join("image");
  const dir = folder.mkdir("mnt");
  await run("mke2fs", ["-q", "-t", "ext4", "-O", "^has_journal", image, "8M"]);
  {
    await using _mount = await mountKernel(image, dir, "acl");
    await act(dir);
  }
  await after(image);
}

async function getfattr(path: string, name: string): Promise<Uint8Array> {
  const { stdout } = await run("getfattr", ["--absolute-names", "-e", "hex", "-n", name, path]);
  return Uint8Array.fromHex(/=0x([0-9a-f]*)/.exec(stdout)![1]);
}

Deno.test("posixAclFromDisk and parsePosixAcl: like the kernel's ext4", async () => {
  if (!requires("root", "loop", "e2fsprogs", "acl")) return;
  const cases = [
    ...Object.entries(SETFACL).map(([file, args]) => ({ file, args, attribute: ACCESS })),
    ...Object.entries(DEFAULT_SETFACL).map(([file, args]) => ({ file, args, attribute: DEFAULT })),
  ];
  const visible = new Map<string, Uint8Array>();
  await withKernelMount(async (dir) => {
    for (const { file, args, attribute } of cases) {
      const path = `${dir}/${file}`;
      if (attribute === DEFAULT) Deno.mkdirSync(path);
      else Deno.writeFileSync(path, new Uint8Array(0));
      await run("setfacl", [...args, path]);
      visible.set(file, await getfattr(path, attribute));
    }
  }, async (image) => {
    const answers = await askDebugfs(
      image,
      cases.map(({ file, attribute }) => `ea_get -x -r /${file} ${attribute}`),
    );
    for (const [index, { file }] of cases.entries()) {
      const stored = Uint8Array.fromHex(answers[index].replaceAll(/^.*=|\s/gm, ""));
      assert.deepEqual(posixAclFromDisk(stored), visible.get(file), file);
      assert.deepEqual(formatAcl(parsePosixAcl(visible.get(file)!)), stored, file);
    }
  });
});

Deno.test("parsePosixAcl: takes and refuses what the kernel's ext4 does", async () => {
  if (!requires("root", "loop", "e2fsprogs", "acl")) return;
  // Without any value, and without entries, the attribute is removed instead.
  const acls = Object.entries({ ...VALID, ...INVALID }).filter(([, { length }]) => length > 4);
  await withKernelMount(async (dir) => {
    for (const [name, acl] of acls) {
      const path = `${dir}/file`;
      Deno.writeFileSync(path, new Uint8Array(0));
      const args = ["-n", ACCESS, "-v", `0x${acl.toHex()}`, path];
      const { code, stderr } = await run("setfattr", args, { codes: [0, 1] });
      const errno = errnoOf(acl);
      if (errno === 0) assert.equal(code, 0, `${name}: ${stderr}`);
      else assert.match(stderr, new RegExp(`${errnoWords(errno)}\n$`), name);
      Deno.removeSync(path);
    }
  });
});
