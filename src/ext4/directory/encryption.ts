/**
 * Encrypted directories and links as they look without the key (kernel documentation:
 * filesystems/fscrypt.rst, "No-key names"): the ciphertext of a name in base64url, behind its
 * directory hash; of a name that would become too long, only the beginning, and a SHA-256 of the rest.
 *
 *     hash (4) | minor hash (4) | up to 149 bytes of ciphertext | SHA-256 of the rest (32)
 */

import { sameBytes } from "../../sys/bytes.ts";
import { corrupt } from "../../sys/fs_error.ts";
import { sha256 } from "../../sys/node_builtins.ts";
import type { Inode } from "../inode/inode.ts";

/** Shortest ciphertext of a name. */
const MIN_CIPHERTEXT = 16;
const HASHES_SIZE = 8;
const MAX_WHOLE = 149;
const DIGEST_SIZE = 32;
/** Length of the ciphertext in front of an encrypted link target. */
const LINK_HEADER_SIZE = 2;

/** What an encrypted name looks like without the key. */
export function noKeyName(
  dir: Inode,
  ciphertext: Uint8Array,
  hash: number,
  minorHash: number,
): Uint8Array<ArrayBuffer> {
  if (ciphertext.length < MIN_CIPHERTEXT) {
    throw corrupt(`encrypted name: ${ciphertext.length} bytes`, { ino: dir.ino });
  }
  const whole = ciphertext.subarray(0, MAX_WHOLE);
  const isCut = ciphertext.length > MAX_WHOLE;
  const raw = new Uint8Array(HASHES_SIZE + whole.length + (isCut ? DIGEST_SIZE : 0));
  const view = new DataView(raw.buffer);
  view.setUint32(0, hash, true);
  view.setUint32(4, minorHash, true);
  raw.set(whole, HASHES_SIZE);
  if (isCut) raw.set(digest(ciphertext.subarray(MAX_WHOLE)), HASHES_SIZE + MAX_WHOLE);
  const text = raw.toBase64({ alphabet: "base64url", omitPadding: true });
  return new TextEncoder().encode(text);
}

/** A no-key name taken apart again, to be compared with ciphertexts. */
export interface NoKeyQuery {
  readonly hash: number;
  readonly minorHash: number;
  matches(ciphertext: Uint8Array): boolean;
}

/** The query for a name that user space gave; undefined when it is no no-key name: ENOENT. */
export function parseNoKeyName(name: Uint8Array): NoKeyQuery | undefined {
  let raw: Uint8Array<ArrayBuffer>;
  try {
    raw = Uint8Array.fromBase64(new TextDecoder().decode(name), { alphabet: "base64url" });
  } catch {
    return undefined;
  }
  const longest = HASHES_SIZE + MAX_WHOLE + DIGEST_SIZE;
  const isCut = raw.length === longest;
  if (raw.length <= HASHES_SIZE || (raw.length > HASHES_SIZE + MAX_WHOLE && !isCut)) {
    return undefined;
  }
  const view = new DataView(raw.buffer);
  const whole = raw.subarray(HASHES_SIZE, Math.min(raw.length, HASHES_SIZE + MAX_WHOLE));
  const rest = raw.subarray(HASHES_SIZE + MAX_WHOLE);
  return {
    hash: view.getUint32(0, true),
    minorHash: view.getUint32(4, true),
    matches: (ciphertext) =>
      (ciphertext.length > MAX_WHOLE) === isCut &&
      sameBytes(ciphertext.subarray(0, MAX_WHOLE), whole) &&
      (!isCut || sameBytes(digest(ciphertext.subarray(MAX_WHOLE)), rest)),
  };
}

/** What the target of an encrypted link looks like without the key. */
export function encryptedSymlinkTarget(
  inode: Inode,
  stored: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  const place = { ino: inode.ino };
  if (stored.length < LINK_HEADER_SIZE) throw corrupt("encrypted link: too short", place);
  const length = stored[0] + stored[1] * 256;
  if (length === 0 || LINK_HEADER_SIZE + length > stored.length) {
    throw corrupt(`encrypted link: ${length} bytes in room for ${stored.length}`, place);
  }
  const ciphertext = stored.subarray(LINK_HEADER_SIZE, LINK_HEADER_SIZE + length);
  return noKeyName(inode, ciphertext, 0, 0);
}

function digest(bytes: Uint8Array): Uint8Array {
  return sha256(bytes);
}
