/**
 * `fuse4fs doctor`: what this machine has and lacks for fuse4fs, and what to do about it. The
 * proof of the pudding is a trial mount of an empty file server.
 */

import { supportsIomap } from "../fuse/backing.ts";
import type { Attributes, Handlers, StatFs } from "../fuse/handlers.ts";
import { openLibfuse } from "../fuse/library.ts";
import { Session } from "../fuse/session.ts";
import { handshake } from "../mount/loop.ts";
import { wakingFacts } from "../mount/wake_latency.ts";
import { fail, messageOf } from "../sys/fs_error.ts";
import { SILENT } from "../sys/log.ts";
import { S_IFDIR } from "../sys/stat.ts";
import { bpfFindings } from "./doctor_bpf.ts";
import { absent, type Finding, missing, ok } from "./finding.ts";
import { printJson } from "./json.ts";
import { printLine } from "./output.ts";

/** Prints the findings; true when this machine can mount. */
export async function doctor(options: { readonly json?: boolean }): Promise<boolean> {
  const findings = [
    kernelRelease(),
    fuseDevice(),
    await fusermount(),
    libfuse(),
    trialMount(),
    waking(),
    iomap(),
    ...bpfFindings(),
  ];
  const canMount = findings.every(({ state }) => state !== "missing");
  if (options.json) {
    printJson({
      canMount,
      findings: findings.map(({ name, state, value, advice }) => ({ name, state, value, advice })),
    });
  } else {
    findings.forEach(printFinding);
    printLine(canMount ? "fuse4fs can mount here." : "fuse4fs cannot mount here.");
  }
  return canMount;
}

function printFinding({ label, state, value, advice }: Finding): void {
  printLine(`${state.padEnd(8)}${`${label}:`.padEnd(18)}${value}`);
  if (advice !== undefined) printLine(`${" ".repeat(26)}${advice}`);
}

function kernelRelease(): Finding {
  return ok("kernel", "kernel", Deno.osRelease());
}

function fuseDevice(): Finding {
  try {
    Deno.openSync("/dev/fuse", { read: true, write: true }).close();
    return ok("fuseDevice", "/dev/fuse", "can be opened");
  } catch (error) {
    const advice = error instanceof Deno.errors.NotFound
      ? "modprobe fuse; in a container, start it with --device /dev/fuse"
      : "chmod 666 /dev/fuse, or run as root";
    return missing("fuseDevice", "/dev/fuse", messageOf(error), advice);
  }
}

async function fusermount(): Promise<Finding> {
  const output = await runTool("fusermount3", "--version");
  if (output !== undefined) return ok("fusermount3", "fusermount3", output);
  const isRoot = Deno.uid() === 0;
  const finding = isRoot ? absent : missing;
  return finding(
    "fusermount3",
    "fusermount3",
    "not found",
    "apt install fuse3: users mount with it",
  );
}

function libfuse(): Finding {
  try {
    const { version, origin } = openLibfuse();
    return ok("libfuse3", "libfuse3", `${version} (${origin})`);
  } catch (error) {
    return missing(
      "libfuse3",
      "libfuse3",
      messageOf(error),
      "apt install libfuse3-3 (or libfuse3-4)",
    );
  }
}

/** Mounts, hears which protocol the kernel speaks, and unmounts. */
function trialMount(): Finding {
  const name = "fuseProtocol";
  const label = "FUSE protocol";
  let folder: string | undefined;
  try {
    folder = Deno.makeTempDirSync({ prefix: "fuse4fs-doctor-" });
    using session = new Session(openLibfuse(), NO_FILES, {
      mountOptions: "ro,fsname=fuse4fs-doctor,subtype=fuse4fs",
      debug: false,
      posixAcl: false,
    }, SILENT);
    session.mount(folder);
    handshake(session);
    const { connection } = session;
    if (connection === undefined) throw new Error("the kernel did not answer");
    const { protocolMajor, protocolMinor } = connection;
    return ok(name, label, `${protocolMajor}.${protocolMinor}, a trial mount worked`);
  } catch (error) {
    const advice = "see the messages above; in a container, give it CAP_SYS_ADMIN or fusermount3";
    return missing(name, label, `the trial mount failed: ${messageOf(error)}`, advice);
  } finally {
    if (folder !== undefined) Deno.removeSync(folder);
  }
}

function waking(): Finding {
  const name = "wakeLatency";
  const label = "processors";
  const { isGuest, isAllowed } = wakingFacts();
  if (!isGuest) return ok(name, label, "sleep as they like while nobody needs them");
  if (isAllowed) {
    return ok(name, label, "wait awake while requests come, since this is a virtual machine");
  }
  const advice = "run as root, with /dev/cpu_dma_latency: requests then take about half as long";
  const value = "sleep while requests are answered, which takes long in a virtual machine";
  return absent(name, label, value, advice);
}

function iomap(): Finding {
  const advice = "run a kernel with FUSE iomap, as root: data then bypasses the server";
  return supportsIomap()
    ? ok("iomap", "FUSE iomap", "the kernel has it")
    : absent("iomap", "FUSE iomap", "the kernel does not offer it", advice);
}

/** The first line that a program prints, or the one that matches; undefined without any. */
async function runTool(
  program: string,
  argument: string,
  pattern = /^.+$/m,
): Promise<string | undefined> {
  try {
    const { stdout, success } = await new Deno.Command(program, { args: [argument] }).output();
    return success ? pattern.exec(new TextDecoder().decode(stdout))?.[0].trim() : undefined;
  } catch {
    return undefined;
  }
}

const EPOCH = { sec: 0, nsec: 0 };
const EMPTY_ROOT: Attributes = {
  ino: 1,
  mode: S_IFDIR | 0o555,
  nlink: 2,
  uid: 0,
  gid: 0,
  rdev: 0,
  size: 0,
  blksize: 4096,
  blocks: 0,
  atime: EPOCH,
  mtime: EPOCH,
  ctime: EPOCH,
};
const EMPTY_STATFS: StatFs = {
  bsize: 4096,
  frsize: 4096,
  blocks: 0,
  bfree: 0,
  bavail: 0,
  files: 0,
  ffree: 0,
  namemax: 255,
};

function refuse(): never {
  throw fail("EOPNOTSUPP", "The trial mount is empty");
}

/** A file server with nothing in it. */
const NO_FILES: Handlers = {
  timeouts: { entry: 0, negativeEntry: 0, attributes: 0 },
  lookup: () => undefined,
  forget: () => {},
  getattr: () => EMPTY_ROOT,
  access: () => {},
  readlink: refuse,
  open: refuse,
  read: refuse,
  release: () => {},
  opendir: () => ({ handle: 0 }),
  readdir: () => {},
  readdirplus: () => {},
  releasedir: () => {},
  statfs: () => EMPTY_STATFS,
  getxattr: () => undefined,
  listxattr: () => new Uint8Array(),
  lseek: refuse,
  bmap: refuse,
  ioctl: refuse,
};
