/** FileDevice on files and, by root, on loop devices. */

import assert from "node:assert/strict";
import { FileDevice, type FileDeviceOptions } from "../src/block/file_device.ts";
import { Errno } from "../src/sys/errno.ts";
import { attachLoop, mountKernel } from "./support/mount.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

const SIZE = 100_352;
const CONTENT = Uint8Array.from({ length: SIZE }, (_, at) => (at * 31 + (at >> 8)) & 0xff);
const READ_ONLY = { readOnly: true } as const;

/** A device on a file with CONTENT, closed at the end of its scope. */
function openCopy(folder: TempDir, options: FileDeviceOptions, path = folder.join("image")) {
  Deno.writeFileSync(path, CONTENT);
  const device = FileDevice.open(path, options);
  return { device, path, [Symbol.dispose]: () => device.close() };
}

function readBytes(device: FileDevice, position: number, length: number): Uint8Array {
  const buffer = new Uint8Array(length);
  device.read(buffer, position);
  return buffer;
}

/** Ranges with edges at, before and behind what O_DIRECT aligns to. */
const RANGES = [[0, 4096], [0, 1], [4095, 2], [4096, 8192], [511, 10_000], [SIZE - 700, 700]];

for (const direct of [false, true]) {
  const how = direct ? "directly" : "through the page cache";

  Deno.test(`FileDevice.read: any range, ${how}`, () => {
    using folder = new TempDir();
    using copy = openCopy(folder, { ...READ_ONLY, direct });
    assert.equal(copy.device.size, SIZE);
    for (const [position, length] of RANGES) {
      const expected = CONTENT.subarray(position, position + length);
      assert.deepEqual(readBytes(copy.device, position, length), expected.slice());
    }
  });

  Deno.test(`FileDevice.write: changes nothing around the range, ${how}`, () => {
    using folder = new TempDir();
    using copy = openCopy(folder, { readOnly: false, direct });
    const expected = CONTENT.slice();
    for (const [index, [position, length]] of RANGES.entries()) {
      const bytes = new Uint8Array(length).fill(index + 1);
      copy.device.write(bytes, position);
      expected.set(bytes, position);
    }
    copy.device.flush();
    assert.deepEqual(Deno.readFileSync(copy.path), expected);
  });

  Deno.test(`FileDevice.read: from an odd offset and within a size, ${how}`, () => {
    using folder = new TempDir();
    using copy = openCopy(folder, { ...READ_ONLY, direct, offset: 1537, size: 9000 });
    assert.equal(copy.device.size, 9000);
    assert.deepEqual(readBytes(copy.device, 100, 8900), CONTENT.slice(1637, 1537 + 9000));
    assert.throws(() => readBytes(copy.device, 8999, 2), { errno: Errno.EIO });
  });

  Deno.test(`FileDevice.source: the bytes of a range, ${how}`, () => {
    using folder = new TempDir();
    using copy = openCopy(folder, { ...READ_ONLY, direct, offset: 512 });
    const source = copy.device.source(1000, 3000);
    if (source.kind === "memory") {
      assert.ok(direct);
      assert.deepEqual(source.bytes, CONTENT.slice(1512, 4512));
    } else {
      assert.ok(!direct);
      assert.deepEqual(source, {
        kind: "descriptor",
        fd: copy.device.fd,
        position: 1512,
        length: 3000,
      });
    }
  });
}

Deno.test("FileDevice: what lies outside is EIO with the place, and so is what was cut off", () => {
  using folder = new TempDir();
  using copy = openCopy(folder, READ_ONLY);
  const { device, path } = copy;
  const isEio = { name: "FsError", errno: Errno.EIO };
  for (const [position, length] of [[-1, 1], [SIZE, 1], [SIZE - 1, 2]]) {
    assert.throws(() => readBytes(device, position, length), isEio);
    assert.throws(() => device.source(position, length), isEio);
  }
  Deno.truncateSync(path, 5000);
  assert.throws(() => readBytes(device, 4096, 4096), { ...isEio, message: /image.*byte 5000/ });
  assert.throws(() => device.source(4096, 4096), { ...isEio, message: /shrunk/ });
  assert.deepEqual(readBytes(device, 4096, 904), CONTENT.slice(4096, 5000));
  // Only a hint, whatever has become of the file.
  device.willRead(SIZE - 10, 10);
});

Deno.test("FileDevice.write: EROFS on a device for reading, with nothing written", () => {
  using folder = new TempDir();
  using copy = openCopy(folder, READ_ONLY);
  assert.throws(() => copy.device.write(new Uint8Array(1), 0), { errno: Errno.EROFS });
  copy.device.flush();
  assert.deepEqual(Deno.readFileSync(copy.path), CONTENT);
});

Deno.test("FileDevice.open: a missing file is ENOENT with its path", () => {
  using folder = new TempDir();
  assert.throws(() => FileDevice.open(folder.join("none"), READ_ONLY), {
    errno: Errno.ENOENT,
    message: /none/,
  });
});

Deno.test("FileDevice: a block device has its own size, and is claimed once", async () => {
  if (!requires("root", "loop", "e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "8M"]);
  await using loop = await attachLoop(image);
  {
    await using _mount = await mountKernel(loop.path, folder.mkdir("mnt"), "ro,noload");
    const claim = () => FileDevice.open(loop.path, { readOnly: true, exclusive: true });
    assert.throws(claim, { errno: Errno.EBUSY });
  }
  const device = FileDevice.open(loop.path, { readOnly: false, exclusive: true, direct: true });
  try {
    assert.equal(device.size, 8 << 20);
    const before = readBytes(device, 0, 8 << 20);
    const bytes = new TextEncoder().encode("not aligned");
    device.write(bytes, 5 << 20 | 3);
    device.flush();
    before.set(bytes, 5 << 20 | 3);
    assert.deepEqual(readBytes(device, 0, 8 << 20), before);
  } finally {
    device.close();
  }
});
