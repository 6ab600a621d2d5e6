/**
 * Standard output of the commands: collected in large pieces, written without an event loop in
 * between, so that a listing of a million files streams. A reader that goes away (`| head`) ends
 * the command quietly.
 */

import { PipeClosed } from "./errors.ts";

const BUFFER_SIZE = 64 * 1024;
const ENCODER = new TextEncoder();

const buffer = new Uint8Array(BUFFER_SIZE);
let filled = 0;

/** Prints text, or bytes as they are. */
export function print(content: string | Uint8Array): void {
  const bytes = typeof content === "string" ? ENCODER.encode(content) : content;
  if (bytes.length > BUFFER_SIZE - filled) flushOutput();
  if (bytes.length >= BUFFER_SIZE) {
    writeAll(bytes);
    return;
  }
  buffer.set(bytes, filled);
  filled += bytes.length;
}

/** Prints text and a newline. */
export function printLine(text = ""): void {
  print(`${text}\n`);
}

/** Writes what is still collected. */
export function flushOutput(): void {
  const pending = buffer.subarray(0, filled);
  filled = 0;
  writeAll(pending);
}

/** True when a person reads: control characters must not reach the terminal. */
export const isTerminal = Deno.stdout.isTerminal();

function writeAll(bytes: Uint8Array): void {
  try {
    let written = 0;
    while (written < bytes.length) written += Deno.stdout.writeSync(bytes.subarray(written));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new PipeClosed();
    throw error;
  }
}
