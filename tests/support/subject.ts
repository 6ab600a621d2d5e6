/**
 * A writable mount of what is under test. It runs in the foreground, so that its messages and its
 * memory can be looked at. With FUSE4FS_SUBJECT=kernel the kernel's ext4 takes its place: then a
 * test that compares the two must find no difference, or it is the test that is wrong.
 */

import { mountAt } from "../../src/mount/mountinfo.ts";
import { FUSE4FS, type Mount, mountKernel, unmountFuse4fs } from "./mount.ts";
import { run } from "./run.ts";

export const SUBJECT_IS_KERNEL = Deno.env.get("FUSE4FS_SUBJECT") === "kernel";

const LONGEST_START_MS = 20_000;
/** What is told of the server's messages, in characters. */
const MOST_MESSAGES = 3000;

export interface Subject extends Mount {
  /** The server; undefined for the kernel's ext4. */
  readonly pid: number | undefined;
}

/**
 * Mounts for writing, like a kernel mount: for all users, who are checked by the kernel. The end of
 * the scope fails if the server said that something in it is wrong.
 */
export function mountSubject(image: string, dir: string, options = ""): Promise<Subject> {
  return SUBJECT_IS_KERNEL ? kernelSubject(image, dir, options) : serve(image, dir, options);
}

/** The options of fuse4fs that the kernel does not know. */
const OWN_OPTIONS = new Set(["direct", "blkdev", "noblkdev"]);

async function kernelSubject(image: string, dir: string, options: string): Promise<Subject> {
  const known = options.split(",").filter((option) => option !== "" && !OWN_OPTIONS.has(option));
  const mount = await mountKernel(image, dir, ["rw", ...known].join(","));
  return { ...mount, pid: undefined };
}

async function serve(image: string, dir: string, options: string): Promise<Subject> {
  const list = ["kernel", options].filter((option) => option !== "").join(",");
  const child = new Deno.Command(FUSE4FS, {
    args: [image, dir, "-f", "-o", list],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const messages = new Response(child.stderr).text();
  let hasEnded = false;
  child.status.then(() => hasEnded = true);
  const deadline = performance.now() + LONGEST_START_MS;
  while (mountAt(dir) === undefined) {
    if (hasEnded) throw new Error(`${FUSE4FS} did not mount: ${await messages}`);
    if (performance.now() > deadline) throw new Error(`${FUSE4FS} did not mount in time`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    dir,
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      const trouble = await unmount(child, dir);
      const { code } = await child.status;
      const text = await messages;
      if (trouble === "" && code === 0 && text === "") return;
      throw new Error(`${trouble}\nfuse4fs ended with ${code}: ${text.slice(0, MOST_MESSAGES)}`);
    },
  };
}

/** Unmounts. When that fails, somebody may still wait for the server: it is ended. */
async function unmount(child: Deno.ChildProcess, dir: string): Promise<string> {
  try {
    await unmountFuse4fs(dir);
    return "";
  } catch (error) {
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await child.status;
    while (mountAt(dir) !== undefined) await run("umount", ["-l", dir]);
    return (error as Error).message;
  }
}
