/**
 * What commander (the command line library) takes from Node, as far as fuse4fs gets there. Deno
 * needs 45 ms to load its own node:fs, node:process and so on, more than all the rest of starting
 * up, and a mount in the background starts twice. The executable's bundle has these in their place
 * (scripts/compile/bundle.ts); without the bundle, commander has the real ones.
 *
 * commander uses node:child_process and node:fs for commands that are programs of their own, and
 * node:path for those and for a program without a name: fuse4fs has neither.
 */

type Listener = (...args: unknown[]) => void;

/** The part of node:events that commander's Command is built on. */
export class EventEmitter {
  readonly #listeners = new Map<string, Listener[]>();

  on(event: string, listener: Listener): this {
    this.#listeners.set(event, [...this.#listeners.get(event) ?? [], listener]);
    return this;
  }

  emit(event: string, ...args: unknown[]): boolean {
    const listeners = this.#listeners.get(event) ?? [];
    for (const listener of listeners) listener.apply(this, args);
    return listeners.length > 0;
  }

  listenerCount(event: string): number {
    return this.#listeners.get(event)?.length ?? 0;
  }
}

/** A standard stream as node:process has it. */
function stream(target: typeof Deno.stdout | typeof Deno.stderr) {
  return {
    write: (text: string) => target.writeSync(new TextEncoder().encode(text)) > 0,
    get isTTY() {
      return target.isTerminal();
    },
    get columns() {
      return Deno.consoleSize().columns;
    },
  };
}

/** The part of node:process for help texts and messages. */
export const process = {
  stdout: stream(Deno.stdout),
  stderr: stream(Deno.stderr),
  get env() {
    return Deno.env.toObject();
  },
  get exitCode() {
    return Deno.exitCode;
  },
  exit: (code: number) => Deno.exit(code),
};

// deno-lint-ignore no-control-regex
const ESCAPE_SEQUENCE = /\u001b\[[0-9;]*[A-Za-z]/g;

/** node:util: a text without what colors it. */
export function stripVTControlCharacters(text: string): string {
  return text.replaceAll(ESCAPE_SEQUENCE, "");
}
