/** Mounts that end with their scope: by the kernel's ext4, the oracle, and by fuse4fs. */

import assert from "node:assert/strict";
import { mountAt, type MountInfo } from "../../src/mount/mountinfo.ts";
import { run, type RunResult } from "./run.ts";

/** The executable under test; another path may stand in the environment. */
export const FUSE4FS = Deno.env.get("FUSE4FS") ??
  new URL("../../dist/fuse4fs", import.meta.url).pathname;

export interface Mount extends AsyncDisposable {
  readonly dir: string;
}

/** Mounts an image or device with the kernel's own ext4. Options as for mount(8). */
export async function mountKernel(image: string, dir: string, options: string): Promise<Mount> {
  const isDevice = Deno.statSync(image).isBlockDevice;
  const type = ["-t", "ext4"];
  await run("mount", [...type, "-o", isDevice ? options : `loop,${options}`, image, dir]);
  return { dir, [Symbol.asyncDispose]: async () => void await run("umount", [dir]) };
}

/** Mounts with fuse4fs in the background. */
export async function mountFuse4fs(image: string, dir: string, options: string): Promise<Mount> {
  await run(FUSE4FS, [image, dir, "-o", options]);
  return { dir, [Symbol.asyncDispose]: async () => void await unmountFuse4fs(dir) };
}

export function unmountFuse4fs(dir: string): Promise<RunResult> {
  return run(FUSE4FS, ["umount", dir]);
}

/** A loop device for an image, detached at the end of its scope. */
export async function attachLoop(
  image: string,
  args: readonly string[] = [],
): Promise<AsyncDisposable & { readonly path: string }> {
  const { stdout } = await run("losetup", ["--find", "--show", ...args, image]);
  const path = stdout.trim();
  return { path, [Symbol.asyncDispose]: async () => void await run("losetup", ["-d", path]) };
}

/** What the kernel tells of the mount at a folder, which must be there. */
export function mounted(dir: string): MountInfo {
  const mount = mountAt(dir);
  assert.ok(mount !== undefined, `nothing is mounted at ${dir}`);
  return mount;
}
