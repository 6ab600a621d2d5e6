/** What is expected of an FsError. */

import assert from "node:assert/strict";
import type { ErrnoName } from "../../src/sys/errno.ts";
import { FsError } from "../../src/sys/fs_error.ts";

/** For assert.throws and assert.rejects: an FsError of this name, with all or a part of a message. */
export function isFsError(
  code: ErrnoName,
  message: string | RegExp = /./,
): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof FsError, `${error}`);
    assert.equal(error.code, code, error.message);
    if (typeof message === "string") assert.equal(error.message, message);
    else assert.match(error.message, message);
    return true;
  };
}

export function throwsFsError(
  code: ErrnoName,
  act: () => unknown,
  message?: string | RegExp,
): void {
  assert.throws(act, isFsError(code, message));
}
