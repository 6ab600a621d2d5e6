/**
 * Names in casefolded directories (kernel documentation: admin-guide/ext4.rst, "Case-insensitive
 * file name lookups"). There is one encoding, utf8-12.1.0, and with it two names are the same when
 * their folded forms are (the Unicode standard calls it canonical caseless matching):
 *
 *     decompose and fold each character, drop the ignorable ones, sort combining marks by class
 *     "A" ring-above dot-below  ->  "a" ring-above dot-below  ->  "a" dot-below ring-above
 *
 * The hash of a name in such a directory is that of its folded form. So that a directory is read
 * as the kernel wrote it, this does what the kernel does where the standard leaves a choice:
 *
 * - Code points that Unicode 12.1 has not assigned stay as they are.
 * - Marks are not sorted across an ignorable character, although it is dropped.
 * - A name that is no UTF-8 does not fold: it is compared and hashed by its bytes. But a stray
 *   continuation byte is carried along as if it belonged to the character before it, so many names
 *   in Latin-1 do fold.
 *
 * A file system in strict mode does not let names that are no UTF-8 come to be: isValidUtf8.
 */

import { CasefoldTable, FIRST_FOLDING, IGNORABLE, ORDINARY } from "./casefold_table.ts";

/** The kernel folds into a buffer of PATH_MAX bytes with a NUL at the end. */
const MAX_FOLDED_LENGTH = 4095;

/**
 * The folded form of a name, which is `name` itself when there is nothing to fold; undefined for a
 * name that is no UTF-8.
 */
export function foldName(name: Uint8Array): Uint8Array | undefined {
  let hasUpperCase = false;
  for (let at = 0; at < name.length; at++) {
    const byte = name[at];
    if (byte >= 0x80) return (folder ??= new Folder()).fold(name);
    hasUpperCase ||= isUpperCase(byte);
  }
  return hasUpperCase ? lowerCase(name) : name;
}

/**
 * True for the names that a file system in strict mode (EXT4_ENC_STRICT_MODE_FL) allows in its
 * casefolded directories; to create another is EINVAL.
 */
export function isValidUtf8(name: Uint8Array): boolean {
  for (let at = 0; at < name.length; at += sequenceLength(name[at])) {
    if (decodeUtf8(name, at) === INVALID) return false;
  }
  return true;
}

function isUpperCase(byte: number): boolean {
  return byte >= 0x41 && byte <= 0x5a;
}

function lowerCase(name: Uint8Array): Uint8Array {
  const folded = new Uint8Array(name.length);
  for (let at = 0; at < name.length; at++) {
    const byte = name[at];
    folded[at] = isUpperCase(byte) ? byte + 0x20 : byte;
  }
  return folded;
}

// ---------------------------------------------------------------- UTF-8

const INVALID = -1;

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Bytes of a sequence, by its first byte. */
function sequenceLength(lead: number): number {
  return lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** The lowest code point that may take so many bytes. */
const LEAST_OF_LENGTH = [0, 0, 0x80, 0x800, 0x10000];

/** The code point at a byte of the name, or INVALID (RFC 3629). */
function decodeUtf8(name: Uint8Array, at: number): number {
  const lead = name[at];
  if (lead < 0x80) return lead;
  const length = sequenceLength(lead);
  if (length === 1 || lead >= 0xf8 || at + length > name.length) return INVALID;
  let codePoint = lead & (0x7f >> length);
  for (let next = at + 1; next < at + length; next++) {
    if (!isContinuation(name[next])) return INVALID;
    codePoint = (codePoint << 6) | (name[next] & 0x3f);
  }
  const isSurrogate = codePoint >= 0xd800 && codePoint <= 0xdfff;
  const inRange = codePoint >= LEAST_OF_LENGTH[length] && codePoint <= 0x10ffff;
  return inRange && !isSurrogate ? codePoint : INVALID;
}

// ---------------------------------------------------------------- folding

/** Hangul syllables decompose by arithmetic (the standard's chapter 3.12). */
const Hangul = { SYLLABLES: 0xac00, LEADING: 0x1100, VOWELS: 0x1161, TRAILING: 0x11a7 } as const;
const HANGUL_SYLLABLES = 11172;
const HANGUL_VOWELS = 21;
/** One of which stands for no trailing consonant at all. */
const HANGUL_TRAILINGS = 28;

/** In place of a mark's class: a byte that belongs to no character. */
const STRAY = 0;

/** Made for the first name that is not ASCII, with its table. */
let folder: Folder | undefined;

/** Folds one name at a time, without making anything but the result. */
class Folder {
  readonly #table = new CasefoldTable();
  /** The folded name, as far as it is known. */
  #output = new Uint8Array(MAX_FOLDED_LENGTH + 1);
  #length = 0;
  /** Combining marks that wait for the end of their run, and the class of each. */
  readonly #marks: number[] = [];
  readonly #classes: number[] = [];

  fold(name: Uint8Array): Uint8Array | undefined {
    this.#length = 0;
    this.#classes.length = this.#marks.length = 0;
    // There is no character before the first byte.
    if (isContinuation(name[0])) return undefined;
    for (let at = 0; at < name.length;) {
      if (isContinuation(name[at])) {
        this.#putStray(name[at++]);
        continue;
      }
      const codePoint = decodeUtf8(name, at);
      if (codePoint === INVALID) return undefined;
      at += sequenceLength(name[at]);
      this.#putFolded(codePoint);
    }
    this.#endRun();
    return this.#length > MAX_FOLDED_LENGTH ? undefined : this.#output.slice(0, this.#length);
  }

  #putFolded(codePoint: number): void {
    const property = this.#table.property(codePoint);
    if (property >= FIRST_FOLDING) {
      for (const target of this.#table.folding(property)) {
        this.#put(target, this.#table.property(target));
      }
    } else if (property === IGNORABLE) {
      this.#endRun();
    } else if (codePoint - Hangul.SYLLABLES >>> 0 < HANGUL_SYLLABLES) {
      this.#putHangul(codePoint - Hangul.SYLLABLES);
    } else {
      this.#put(codePoint, property);
    }
  }

  #putHangul(index: number): void {
    const vowels = Math.floor(index / HANGUL_TRAILINGS);
    const trailing = index % HANGUL_TRAILINGS;
    this.#put(Hangul.LEADING + Math.floor(vowels / HANGUL_VOWELS), ORDINARY);
    this.#put(Hangul.VOWELS + vowels % HANGUL_VOWELS, ORDINARY);
    if (trailing !== 0) this.#put(Hangul.TRAILING + trailing, ORDINARY);
  }

  /** Takes a code point that does not change any more, and its combining class. */
  #put(codePoint: number, combiningClass: number): void {
    if (combiningClass === ORDINARY) {
      this.#endRun();
      this.#encode(codePoint);
    } else {
      this.#marks.push(codePoint);
      this.#classes.push(combiningClass);
    }
  }

  #putStray(byte: number): void {
    if (this.#marks.length === 0) {
      this.#putByte(byte);
    } else {
      this.#marks.push(byte);
      this.#classes.push(STRAY);
    }
  }

  /**
   * Puts out the marks of a run in the order of their classes, those of one class as they stood.
   * The kernel looks through the run once to find the lowest class, and then once for each class;
   * a stray byte is let through whenever it is passed.
   */
  #endRun(): void {
    const count = this.#marks.length;
    if (count === 0) return;
    let current = STRAY;
    let next = count === 1 ? this.#classes[0] : this.#putMarks(current);
    while (next > current) {
      current = next;
      next = this.#putMarks(current);
    }
    this.#classes.length = this.#marks.length = 0;
  }

  /** Puts out the stray bytes and the marks of one class. Gives the next class that there is, or 0. */
  #putMarks(combiningClass: number): number {
    let next = IGNORABLE;
    for (let index = 0; index < this.#marks.length; index++) {
      const other = this.#classes[index];
      if (other === STRAY) this.#putByte(this.#marks[index]);
      else if (other === combiningClass) this.#encode(this.#marks[index]);
      else if (other > combiningClass && other < next) next = other;
    }
    return next === IGNORABLE ? 0 : next;
  }

  #encode(codePoint: number): void {
    if (codePoint < 0x80) {
      this.#putByte(codePoint);
    } else if (codePoint < 0x800) {
      this.#putByte(0xc0 | (codePoint >> 6));
      this.#putByte(0x80 | (codePoint & 0x3f));
    } else if (codePoint < 0x10000) {
      this.#putByte(0xe0 | (codePoint >> 12));
      this.#putByte(0x80 | ((codePoint >> 6) & 0x3f));
      this.#putByte(0x80 | (codePoint & 0x3f));
    } else {
      this.#putByte(0xf0 | (codePoint >> 18));
      this.#putByte(0x80 | ((codePoint >> 12) & 0x3f));
      this.#putByte(0x80 | ((codePoint >> 6) & 0x3f));
      this.#putByte(0x80 | (codePoint & 0x3f));
    }
  }

  /** What does not fit any more is counted, not kept: the name is then too long anyhow. */
  #putByte(byte: number): void {
    if (this.#length <= MAX_FOLDED_LENGTH) this.#output[this.#length] = byte;
    this.#length++;
  }
}
