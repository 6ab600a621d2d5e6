/**
 * Who else has an image or device mounted. Two drivers that write to one file system destroy it,
 * and a reader under which another one writes sees a mixture of times.
 *
 * An image can be reached by several ways, so the ways are compared, not the paths:
 *
 *     image file --- loop device --- mount of the kernel, fuse4fs, fuse2fs
 *               \--- fuse4fs, fuse2fs
 *     disk --- partition --- mount of the kernel
 *
 * The system keeps two writers away from one block device, but not from two loop devices of one file,
 * nor from one of these and the file itself.
 */

import { splitDevice } from "../sys/stat.ts";
import { isReadOnly, type MountInfo, readMounts, servesImage } from "./mountinfo.ts";

/** A part of a device in bytes; without it, the whole. */
export interface ByteRange {
  readonly start: number;
  readonly size: number;
}

/** The mounts that use an image or device, or the given part of it. */
export function findUses(path: string, part?: ByteRange): MountInfo[] {
  const target = identify(path);
  if (target === undefined) return [];
  const backing = target.kind === "device" ? backingOf(target.id, part) : { file: target.id, part };
  const devices = new Set(target.kind === "device" ? devicesOf(target.id, part) : []);
  if (backing !== undefined) {
    for (const device of loopDevicesOf(backing.file, backing.part)) devices.add(device);
  }
  const isConcerned = (source: Identity | undefined) => {
    if (source === undefined) return false;
    return source.kind === "device" ? devices.has(source.id) : source.id === backing?.file;
  };
  return readMounts().filter((mount) =>
    devices.has(mount.device) || (servesImage(mount) && isConcerned(identify(mount.source)))
  );
}

/** `/mnt (ext4, read-only)` */
export function describeUse(mount: MountInfo): string {
  const access = isReadOnly(mount) ? "read-only" : "read-write";
  return `${mount.mountpoint} (${mount.type}, ${access})`;
}

/** What a path leads to: a block device by its number, or a file by its place. */
interface Identity {
  readonly kind: "device" | "file";
  readonly id: string;
}

function identify(path: string): Identity | undefined {
  try {
    const info = Deno.statSync(path);
    if (info.isBlockDevice) return { kind: "device", id: deviceNumber(info.rdev ?? 0) };
    return { kind: "file", id: `${info.dev}:${info.ino}` };
  } catch {
    // A path of another mount namespace, or one that is gone: nothing to compare with.
    return undefined;
  }
}

/** `8:1` */
function deviceNumber(rdev: number): string {
  const { major, minor } = splitDevice(rdev);
  return `${major}:${minor}`;
}

/** The device itself and those of its partitions that overlap the part. */
function devicesOf(number: string, part: ByteRange | undefined): Set<string> {
  const folder = `/sys/dev/block/${number}`;
  const devices = new Set([number]);
  for (const entry of list(folder)) {
    const partition = `${folder}/${entry}`;
    const start = readNumber(`${partition}/start`);
    const size = readNumber(`${partition}/size`);
    const name = readLine(`${partition}/dev`);
    if (start === undefined || size === undefined || name === undefined) continue;
    if (overlaps(part, { start: start * 512, size: size * 512 })) devices.add(name);
  }
  return devices;
}

/** The file, and the part of it, that a loop device shows, or one of its partitions. */
function backingOf(
  number: string,
  part: ByteRange | undefined,
): { readonly file: string; readonly part: ByteRange } | undefined {
  const folder = `/sys/dev/block/${number}`;
  const partition = readNumber(`${folder}/start`);
  const loop = `${folder}${partition === undefined ? "" : "/.."}/loop`;
  const file = readLine(`${loop}/backing_file`);
  const identity = file === undefined ? undefined : identify(file);
  if (identity === undefined) return undefined;
  const start = (readNumber(`${loop}/offset`) ?? 0) + (partition ?? 0) * 512;
  const within = part ?? { start: 0, size: (readNumber(`${folder}/size`) ?? 0) * 512 };
  return { file: identity.id, part: { start: start + within.start, size: within.size } };
}

/** The loop devices on a file, and the partitions on those. */
function loopDevicesOf(id: string, part: ByteRange | undefined): Set<string> {
  const devices = new Set<string>();
  for (const name of list("/sys/block")) {
    const backing = readLine(`/sys/block/${name}/loop/backing_file`);
    if (backing === undefined || identify(backing)?.id !== id) continue;
    const offset = readNumber(`/sys/block/${name}/loop/offset`) ?? 0;
    const size = (readNumber(`/sys/block/${name}/size`) ?? 0) * 512;
    if (!overlaps(part, { start: offset, size })) continue;
    const number = readLine(`/sys/block/${name}/dev`);
    if (number === undefined) continue;
    const inside = part === undefined ? undefined : { ...part, start: part.start - offset };
    for (const device of devicesOf(number, inside)) devices.add(device);
  }
  return devices;
}

function overlaps(a: ByteRange | undefined, b: ByteRange): boolean {
  return a === undefined || (a.start < b.start + b.size && b.start < a.start + a.size);
}

function list(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), (entry) => entry.name);
  } catch {
    return [];
  }
}

function readLine(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path).trimEnd();
  } catch {
    return undefined;
  }
}

function readNumber(path: string): number | undefined {
  const line = readLine(path);
  return line === undefined ? undefined : Number(line);
}
