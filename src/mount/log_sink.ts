/**
 * Where the messages of a mount go: to stderr until the server is in the background, to syslog
 * from then on.
 */

import type { Log } from "../sys/log.ts";
import { syslog } from "../sys/system.ts";

const PROGRAM = "fuse4fs";

type Level = keyof Log;

/** LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR of syslog(3). */
const PRIORITIES: Record<Level, number> = { debug: 7, info: 6, warn: 4, error: 3 };

const LABELS: Record<Level, string> = { debug: "debug: ", info: "", warn: "warning: ", error: "" };

/** Bytes from a hostile image could otherwise steer the terminal or forge lines of the log. */
// deno-lint-ignore no-control-regex
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

/** A log that begins on stderr and can be moved to syslog. */
export class LogSink implements Log {
  readonly #debug: boolean;
  #toSyslog = false;

  /** @param debug let debug messages through */
  constructor(debug: boolean) {
    this.#debug = debug;
  }

  debug(message: string): void {
    if (this.#debug) this.#write("debug", message);
  }

  info(message: string): void {
    this.#write("info", message);
  }

  warn(message: string): void {
    this.#write("warn", message);
  }

  error(message: string): void {
    this.#write("error", message);
  }

  /** From now on nobody reads stderr. */
  moveToSyslog(): void {
    this.#toSyslog = true;
  }

  #write(level: Level, message: string): void {
    const line = printable(message);
    if (this.#toSyslog) {
      syslog(PRIORITIES[level], line);
    } else {
      writeStderr(`${PROGRAM}: ${LABELS[level]}${line}\n`);
    }
  }
}

/** Never fails: a message that nobody can read is no reason to stop serving. */
function writeStderr(text: string): void {
  try {
    Deno.stderr.writeSync(new TextEncoder().encode(text));
  } catch {
    // Closed by whoever started us.
  }
}

/** The text with control characters made visible. */
export function printable(text: string): string {
  return text.replaceAll(
    CONTROL,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
