/**
 * Runs a program to its end without an event loop, which a file server in the middle of a request
 * does not have. Input and output are files in memory: nothing is written to a disk, and a
 * program that prints much does not wait for anyone to read it.
 *
 * The program gets descriptors 0, 1 and 2, the ones that the caller names behind them, and no
 * other: not the FUSE device, not the image.
 */

import { Errno, errnoWords } from "./errno.ts";
import { fail, FsError } from "./fs_error.ts";
import { close, duplicate, memoryFile, preadFully, sizeOf } from "./files.ts";
import { bufferAddress, cString } from "./libc.ts";
import { waitReadable } from "./messages.ts";

const SYMBOLS = {
  posix_spawnp: {
    parameters: [
      "buffer", // pid_t *pid
      "buffer", // const char *file
      "buffer", // const posix_spawn_file_actions_t *file_actions
      "buffer", // const posix_spawnattr_t *attrp
      "buffer", // char *const argv[]
      "buffer", // char *const envp[]
    ],
    result: "i32",
  },
  posix_spawn_file_actions_init: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawn_file_actions_adddup2: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int fildes
      "i32", // int newfildes
    ],
    result: "i32",
  },
  posix_spawn_file_actions_addclose: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int fildes
    ],
    result: "i32",
  },
  // Since glibc 2.34.
  posix_spawn_file_actions_addclosefrom_np: {
    parameters: [
      "buffer", // posix_spawn_file_actions_t *file_actions
      "i32", // int from
    ],
    result: "i32",
    optional: true,
  },
  posix_spawnattr_init: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_destroy: { parameters: ["buffer"], result: "i32" },
  posix_spawnattr_setflags: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
      "i16", // short flags
    ],
    result: "i32",
  },
  posix_spawnattr_setsigdefault: {
    parameters: [
      "buffer", // posix_spawnattr_t *attr
      "buffer", // const sigset_t *sigdefault
    ],
    result: "i32",
  },
  waitpid: {
    parameters: [
      "i32", // pid_t pid
      "buffer", // int *wstatus
      "i32", // int options
    ],
    result: "i32",
  },
  kill: {
    parameters: [
      "i32", // pid_t pid
      "i32", // int sig
    ],
    result: "i32",
  },
  // The C library has had a function of its own for pidfd_open(2) since 2.36 only.
  syscall: {
    parameters: [
      "i64", // long number
      "i64", // pid_t pid
      "i64", // unsigned int flags
    ],
    result: "i64",
  },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof SYMBOLS> | undefined;

function libc(): Deno.DynamicLibrary<typeof SYMBOLS>["symbols"] {
  opened ??= Deno.dlopen("libc.so.6", SYMBOLS);
  return opened.symbols;
}

/** sizeof(posix_spawn_file_actions_t) is 80 and sizeof(posix_spawnattr_t) 336 in glibc. */
const OPAQUE_SIZE = 512;
/** A group of its own, so that helpers of the program end with it; signals as at first. */
const SPAWN_FLAGS = 0x02 | 0x04 | 0x08; // SETPGROUP | SETSIGDEF | SETSIGMASK
/** sigset_t with all signals in it. */
const ALL_SIGNALS = new Uint8Array(128).fill(0xff);
const SIGKILL = 9;
/** The same number on x86-64 and aarch64. */
const SYS_PIDFD_OPEN = 434n;

export interface SpawnOptions {
  readonly args?: readonly string[];
  /** The whole environment. Without PATH in it, the program must be a path. */
  readonly env: Readonly<Record<string, string>>;
  readonly input?: Uint8Array<ArrayBuffer>;
  /** What the program finds at descriptors 3, 4, 5 and so on. */
  readonly files?: readonly { readonly name: string; readonly bytes: Uint8Array<ArrayBuffer> }[];
  /** Longest time in milliseconds; then the program is killed and ETIMEDOUT thrown. */
  readonly timeout: number;
}

export interface SpawnResult {
  /** The exit code, or 128 and the number of the signal that ended the program. */
  readonly code: number;
  readonly stdout: Uint8Array<ArrayBuffer>;
  readonly stderr: Uint8Array<ArrayBuffer>;
}

/** Runs a program, found as the shell would. Throws ENOENT when there is none of that name. */
export function spawnSync(program: string, options: SpawnOptions): SpawnResult {
  const inputs = [
    { name: "stdin", bytes: options.input ?? new Uint8Array() },
    { name: "stdout", bytes: new Uint8Array() },
    { name: "stderr", bytes: new Uint8Array() },
    ...options.files ?? [],
  ];
  const descriptors: number[] = [];
  try {
    // Numbers behind those of the child, so that dup2 there overwrites none still to come.
    for (const { name, bytes } of inputs) {
      descriptors.push(memoryDescriptor(name, bytes, inputs.length));
    }
    const code = runToEnd(program, options, descriptors);
    return { code, stdout: contentOf(descriptors[1]), stderr: contentOf(descriptors[2]) };
  } finally {
    descriptors.forEach(close);
  }
}

function memoryDescriptor(name: string, bytes: Uint8Array<ArrayBuffer>, lowest: number): number {
  const { fd } = memoryFile(name, bytes);
  try {
    return duplicate(fd, lowest);
  } finally {
    close(fd);
  }
}

function contentOf(fd: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeOf(fd));
  preadFully(fd, bytes, 0);
  return bytes;
}

function runToEnd(
  program: string,
  options: SpawnOptions,
  descriptors: readonly number[],
): number {
  const argv = stringArray([program, ...options.args ?? []]);
  const envp = stringArray(Object.entries(options.env).map(([name, value]) => `${name}=${value}`));
  const pidCell = new Int32Array(1);
  const attributes = new Uint8Array(OPAQUE_SIZE);
  check(libc().posix_spawnattr_init(attributes), `prepare ${program}`);
  check(libc().posix_spawnattr_setflags(attributes, SPAWN_FLAGS), `prepare ${program}`);
  check(libc().posix_spawnattr_setsigdefault(attributes, ALL_SIGNALS), `prepare ${program}`);
  const actions = fileActions(program, descriptors);
  check(
    libc().posix_spawnp(
      new Uint8Array(pidCell.buffer),
      cString(program),
      actions,
      attributes,
      argv.pointers,
      envp.pointers,
    ),
    `start ${program}`,
  );
  libc().posix_spawn_file_actions_destroy(actions);
  libc().posix_spawnattr_destroy(attributes);
  argv.keep();
  envp.keep();
  return waitFor(program, pidCell[0], options.timeout);
}

/** The numbers 0, 1, 2, ... for `descriptors`, and nothing open behind them. */
function fileActions(program: string, descriptors: readonly number[]): Uint8Array<ArrayBuffer> {
  const actions = new Uint8Array(OPAQUE_SIZE);
  const doing = `prepare ${program}`;
  check(libc().posix_spawn_file_actions_init(actions), doing);
  descriptors.forEach((fd, number) =>
    check(libc().posix_spawn_file_actions_adddup2(actions, fd, number), doing)
  );
  const closeFrom = libc().posix_spawn_file_actions_addclosefrom_np;
  if (closeFrom !== null) {
    check(closeFrom(actions, descriptors.length), doing);
    return actions;
  }
  for (const { name } of Deno.readDirSync("/proc/self/fd")) {
    // The one that lists the folder is closed by now: closing it again changes nothing.
    if (Number(name) >= descriptors.length) {
      check(libc().posix_spawn_file_actions_addclose(actions, Number(name)), doing);
    }
  }
  return actions;
}

/** An array of C strings with NULL at its end. `keep` is called once C is done with it. */
function stringArray(texts: readonly string[]): {
  readonly pointers: Uint8Array<ArrayBuffer>;
  keep(): void;
} {
  const strings = texts.map(cString);
  const pointers = new BigUint64Array(strings.length + 1);
  strings.forEach((string, index) => {
    pointers[index] = BigInt(bufferAddress(string));
  });
  return {
    pointers: new Uint8Array(pointers.buffer),
    // What is mentioned here cannot be collected before.
    keep: () => strings.length,
  };
}

function waitFor(program: string, pid: number, timeout: number): number {
  const isOver = endsWithin(pid, timeout);
  if (!isOver) libc().kill(-pid, SIGKILL);
  const status = new Int32Array(1);
  const statusBytes = new Uint8Array(status.buffer);
  while (libc().waitpid(pid, statusBytes, 0) !== pid) {
    // A listener may run in between; anything else means that there is no such child any more.
    if (!isRunning(pid)) break;
  }
  if (!isOver) {
    throw fail("ETIMEDOUT", `${program} did not end within ${timeout / 1000} s and was killed`);
  }
  const signal = status[0] & 0x7f;
  return signal === 0 ? status[0] >> 8 & 0xff : 128 + signal;
}

function isRunning(pid: number): boolean {
  return libc().kill(pid, 0) === 0;
}

/** False when the process still runs after `timeout` milliseconds. */
function endsWithin(pid: number, timeout: number): boolean {
  const pidfd = Number(libc().syscall(SYS_PIDFD_OPEN, BigInt(pid), 0n));
  // Linux before 5.3 has no such call: then there is no limit.
  if (pidfd < 0) return true;
  try {
    const deadline = performance.now() + timeout;
    for (let rest = timeout; rest > 0; rest = deadline - performance.now()) {
      if (waitReadable(pidfd, Math.ceil(rest))) return true;
    }
    return false;
  } finally {
    close(pidfd);
  }
}

/** The functions of posix_spawn return the error number. */
function check(errno: number, doing: string): void {
  if (errno === 0) return;
  throw new FsError(errno, `Cannot ${doing}: ${errnoWords(errno)}`);
}

/** True for the error that says that there is no such program, or that it may not be run. */
export function isNotFound(error: unknown): boolean {
  return error instanceof FsError &&
    (error.errno === Errno.ENOENT || error.errno === Errno.EACCES);
}
