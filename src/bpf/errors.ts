/**
 * What can go wrong between a program's source and its being attached. All are FsError, so that
 * whoever does not care about the kind has one message to print.
 */

import { Errno, errnoWords } from "../sys/errno.ts";
import { FsError } from "../sys/fs_error.ts";

/** Something that this machine lacks. */
export class NotSupported extends FsError {
  /** What is missing. */
  readonly what: string;
  /** What to do about it, or since which version it is there. */
  readonly advice: string;

  constructor(what: string, advice: string) {
    super(Errno.EOPNOTSUPP, `${what}: ${advice}`);
    this.what = what;
    this.advice = advice;
  }
}

/** A file that is no BPF object, or not one that this can be done with. */
export class BadObject extends FsError {
  constructor(name: string, problem: string) {
    super(Errno.ENOEXEC, `${name}: ${problem}`);
  }
}

/** clang did not accept a program. */
export class CompileError extends FsError {
  /** All that clang printed. */
  readonly log: string;

  constructor(name: string, log: string) {
    super(Errno.EINVAL, `Cannot compile ${name}: ${firstError(log)}`);
    this.log = log;
  }
}

/** The kernel's verifier did not accept a program. */
export class VerifierError extends FsError {
  /** The program's name in the object. */
  readonly program: string;
  /** All that the verifier wrote. */
  readonly log: string;

  constructor(program: string, errno: number, log: string) {
    super(errno, `The kernel's verifier rejects program ${program}: ${lastComplaint(log, errno)}`);
    this.program = program;
    this.log = log;
  }
}

/** A call of libbpf failed in another way. */
export class LibbpfError extends FsError {
  /** What libbpf said meanwhile, a line each. */
  readonly log: string;

  constructor(doing: string, errno: number, log: string) {
    const said = firstCause(log);
    super(errno, `Cannot ${doing}: ${errorWords(errno)}${said === "" ? "" : ` (${said})`}`);
    this.log = log;
  }
}

/** The whole story behind an error, where there is more than its message. */
export function logOf(error: unknown): string | undefined {
  const hasLog = error instanceof CompileError || error instanceof VerifierError ||
    error instanceof LibbpfError;
  return hasLog && error.log !== "" ? error.log : undefined;
}

/** What the kernel means inside, and the C library has no words for. */
const ENOTSUPP = 524;
const ESRCH = 3;
/** libbpf's own numbers, __LIBBPF_ERRNO__START and so on. */
const LIBBPF_WORDS: readonly string[] = [
  "Something wrong in libelf",
  "BPF object format invalid",
  "'version' section incorrect or lost",
  "Endian mismatch",
  "Internal error in libbpf",
  "Relocation failed",
  "Failed to load program",
  "Kernel verifier blocks program loading",
  "Program too big",
  "Kernel doesn't support this program type",
  "Wrong pid in netlink message",
  "Invalid netlink sequence",
  "Incorrect netlink message parsing",
];
const LIBBPF_ERRNO_START = 4000;

/** An error number in words. */
export function errorWords(errno: number): string {
  if (errno === ENOTSUPP) return "Operation not supported by the kernel";
  // To libbpf this is a search in vain, not a process.
  if (errno === ESRCH) return "Not found";
  return LIBBPF_WORDS[errno - LIBBPF_ERRNO_START] ?? errnoWords(errno);
}

/** What libbpf says first is the cause; then every layer adds that it failed. */
function firstCause(log: string): string {
  return (log.trim().split("\n")[0] ?? "").replace(/^libbpf: /, "");
}

/** `demo:3:5: error: ...` and the like; else the first line of all. */
function firstError(log: string): string {
  const lines = log.split("\n").filter((line) => line.trim() !== "");
  return lines.find((line) => /\berror: /.test(line)) ?? lines[0] ?? "clang said nothing";
}

/** The verifier tells what it saw, line by line; the complaint is the last before the statistics. */
function lastComplaint(log: string, errno: number): string {
  const lines = log.split("\n").map((line) => line.trim()).filter((line) =>
    line !== "" && !/^(processed \d+ insns|max_states|peak_states|verification time|stack depth)/
      .test(line)
  );
  return lines.at(-1) ?? errorWords(errno);
}
