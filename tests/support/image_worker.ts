/** Opens, walks and reads the images it is given, and prints how each of them went. */

import { FileDevice } from "../../src/block/file_device.ts";
import { FileSystem } from "../../src/ext4/filesystem.ts";
import { FsError } from "../../src/sys/fs_error.ts";
import { peakMegabytes, resetPeak } from "./memory.ts";
import { walkEverything } from "./walk.ts";

/** One image, as the test gets it. */
export interface ImageOutcome {
  readonly image: string;
  readonly milliseconds: number;
  readonly megabytes: number;
  /** Why it could not be opened. */
  readonly refused?: { readonly code: string; readonly message: string };
  readonly objects: number;
  readonly bytes: number;
  readonly errors: Record<string, number>;
  /** What the walk met, and what was logged. */
  readonly messages: readonly string[];
  /** Messages of damage that do not say where it is. */
  readonly unplaced: readonly string[];
  /** Something that should never come out. */
  readonly uncaught?: string;
}

function examine(image: string): ImageOutcome {
  resetPeak();
  const start = performance.now();
  const logged: string[] = [];
  const add = (message: string) => void (logged.length < 100 && logged.push(message));
  const log = { debug() {}, info() {}, warn: add, error: add };
  const result = walkImage(image, log);
  return {
    image,
    milliseconds: performance.now() - start,
    megabytes: peakMegabytes(),
    objects: 0,
    bytes: 0,
    errors: {},
    unplaced: [],
    ...result,
    messages: [...logged, ...result.messages ?? []],
  };
}

function walkImage(
  image: string,
  log: Parameters<typeof FileSystem.open>[1]["log"],
): Partial<ImageOutcome> {
  const device = FileDevice.open(image, { readOnly: true });
  try {
    const fs = FileSystem.open(device, { log });
    const { objects, bytes, errors, messages, unplaced } = walkEverything(fs);
    return {
      objects,
      bytes,
      errors: Object.fromEntries(errors),
      messages: [...messages],
      unplaced: [...unplaced],
    };
  } catch (error) {
    if (error instanceof FsError) return { refused: { code: error.code, message: error.message } };
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return { uncaught: `${error}\n${cause instanceof Error ? cause.stack : cause}` };
  } finally {
    device.close();
  }
}

if (import.meta.main) {
  for (const image of Deno.args) console.log(JSON.stringify(examine(image)));
}
