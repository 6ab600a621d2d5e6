/**
 * The mount option `lockfile`: a file that is there, and locked, as long as the server has the
 * image open. The lock is one of flock(2), which the system drops when a server ends in whatever
 * way: a file that is left behind by a crash does not stand in the way of the next mount.
 */

import { fail, messageOf } from "../sys/fs_error.ts";

export class LockFile implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;

  private constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Makes the file, or takes over one that nobody holds, and locks it. It holds the number of this
   * process. Throws EBUSY when another server holds it.
   */
  static acquire(path: string): LockFile {
    for (;;) {
      const file = openLockFile(path);
      if (!file.tryLockSync(true)) {
        file.close();
        throw fail("EBUSY", `Another server holds the lock file ${path}`);
      }
      if (isStillAt(file, path)) {
        file.truncateSync();
        file.writeSync(new TextEncoder().encode(`${Deno.pid}\n`));
        return new LockFile(Deno.realPathSync(path), file);
      }
      // Its holder removed it between our opening and our locking it.
      file.close();
    }
  }

  /** Removes the file while it is still locked, so that nobody else's is removed. */
  [Symbol.dispose](): void {
    try {
      Deno.removeSync(this.#path);
    } catch {
      // Gone already, or in a folder that is read-only by now: the lock itself ends all the same.
    }
    this.#file.close();
  }
}

function openLockFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true, write: true, create: true, mode: 0o600 });
  } catch (error) {
    throw fail("EACCES", `Cannot open the lock file ${path}: ${messageOf(error)}`);
  }
}

function isStillAt(file: Deno.FsFile, path: string): boolean {
  try {
    const there = Deno.statSync(path);
    const held = file.statSync();
    return there.ino === held.ino && there.dev === held.dev;
  } catch {
    return false;
  }
}
