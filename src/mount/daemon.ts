/**
 * Going to the background without fork(2), which would leave Deno's threads behind: the parent
 * starts the executable anew and waits for one line from it.
 *
 *     parent                               child, later in a session of its own
 *       | starts it, with a pipe -------------> |
 *       |                                       | opens the image, mounts
 *       | <------- "0" or "CODE MESSAGE"        |
 *       | exits with that code                  | lets go of the terminal, serves
 *
 * Where the executable has an entry stub (scripts/compile/entry_stub.c), that does the parent's
 * part before there are any threads, and saves the time of a second start. Arguments that it is
 * not sure of it leaves to startInBackground.
 *
 * Until it is ready the child writes to the parent's stderr, so that messages of libfuse and
 * fusermount3 are seen.
 */

import { fail, messageOf } from "../sys/fs_error.ts";
import { close, dup2, isCloseOnExec, O_RDWR, open, write } from "../sys/files.ts";
import { outliveParent, setsid } from "../sys/system.ts";

/** In the environment of a child that is to serve: the descriptor for its report. */
const MARK = "FUSE4FS_BACKGROUND";

/** mount(8)'s exit codes for what the parent itself may meet. */
const SYSTEM_ERROR = 2;
const INTERNAL_ERROR = 4;
const INTERRUPTED = 8;

const STDOUT = 1;

/** How it went, for the parent to exit with. */
export interface Outcome {
  readonly exitCode: number;
  /** What to tell the user when the code is not 0. */
  readonly message: string;
}

/**
 * Starts the server in the background and returns when it serves or has failed.
 * @param executable how to start this program again
 * @param args its arguments, which the child reads as the parent did
 */
export async function startInBackground(
  executable: string,
  args: readonly string[],
): Promise<Outcome> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(executable, {
      args: [...args],
      env: { [MARK]: String(STDOUT) },
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
      detached: true,
    }).spawn();
  } catch (error) {
    return { exitCode: SYSTEM_ERROR, message: `Cannot start the server: ${messageOf(error)}` };
  }
  child.unref();
  let interrupted = false;
  const interrupt = () => {
    interrupted = true;
    // The child unmounts by itself if it has come that far.
    child.kill("SIGTERM");
  };
  Deno.addSignalListener("SIGINT", interrupt);
  Deno.addSignalListener("SIGTERM", interrupt);
  const line = await firstLine(child.stdout);
  if (interrupted) return { exitCode: INTERRUPTED, message: "Interrupted" };
  if (line === undefined) return await silentEnd(child);
  const [, code, message] = /^([0-9]+) ?(.*)$/.exec(line) ?? [undefined, INTERNAL_ERROR, line];
  return { exitCode: Number(code), message };
}

async function silentEnd(child: Deno.ChildProcess): Promise<Outcome> {
  child.ref();
  const { code, signal } = await child.status;
  const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
  return { exitCode: INTERNAL_ERROR, message: `The server ended ${how} before it could mount` };
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string | undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return undefined;
}

/** The child's side. */
export class BackgroundServer {
  /** Where the parent reads. */
  readonly #descriptor: number;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /**
   * In a child that was started to serve, its link to the parent.
   * @param kept an inherited descriptor that the server will need
   */
  static adopt(kept?: number): BackgroundServer | undefined {
    const descriptor = Deno.env.get(MARK);
    if (descriptor === undefined) return undefined;
    // Programs that the server starts are none of the parent's children.
    Deno.env.delete(MARK);
    closeInherited(kept);
    return new BackgroundServer(Number(descriptor));
  }

  /**
   * Tells the parent that the mount answers, and lets go of the terminal and of the folder the
   * parent was in. Throws EPIPE when the parent was killed: nobody waits for this mount.
   */
  ready(): void {
    outliveParent();
    setsid();
    Deno.chdir("/");
    this.#report("0");
    letGoOfStandardStreams();
  }

  /** Tells the parent why there is no mount. */
  failed(exitCode: number, message: string): void {
    this.#report(`${exitCode} ${message.replaceAll("\n", " ")}`);
  }

  /** Stays in front: the parent waits until this process ends, and ends with its exit code. */
  stay(): void {
    if (this.#descriptor !== STDOUT) close(this.#descriptor);
  }

  #report(line: string): void {
    try {
      // Shorter than what a pipe takes as a whole.
      write(this.#descriptor, new TextEncoder().encode(`${line}\n`));
    } catch (error) {
      throw fail("EPIPE", `Nobody waits for the server: ${messageOf(error)}`);
    }
    if (this.#descriptor !== STDOUT) close(this.#descriptor);
  }
}

/**
 * Puts /dev/null in the place of stdin, stdout and stderr, and of the copies that Deno keeps of
 * them and does not give up by itself: as long as one is open, whoever reads the parent's output
 * waits for more.
 */
function letGoOfStandardStreams(): void {
  const none = open("/dev/null", O_RDWR);
  const streams = new Set([0, 1, 2].map(descriptorTarget));
  for (const descriptor of openDescriptors()) {
    if (descriptor <= 2 || streams.has(descriptorTarget(descriptor))) dup2(none, descriptor);
  }
  if (none > 2) close(none);
}

/** Closes what came from the parent's parents. Deno's own descriptors are close-on-exec, ours too. */
function closeInherited(kept: number | undefined): void {
  for (const descriptor of openDescriptors()) {
    if (descriptor > 2 && descriptor !== kept && !isCloseOnExec(descriptor)) close(descriptor);
  }
}

function openDescriptors(): number[] {
  return [...Deno.readDirSync("/proc/self/fd")].map(({ name }) => Number(name));
}

/** `/dev/pts/0`, `pipe:[4711]`; undefined for one that has been closed since it was listed. */
function descriptorTarget(descriptor: number): string | undefined {
  try {
    return Deno.readLinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}
