/**
 * What a file system lies on: a run of bytes that can be read, and perhaps written, at any place.
 *
 * Positions and lengths are in bytes, counted from the start of the file system (a partition's
 * offset is already inside). Failures are FsError: EIO for what the medium refuses or what lies
 * past its end, EROFS for a write to a read-only device.
 */

/** Where bytes of the device can be had without passing through JavaScript. */
export type DataSource =
  | {
    readonly kind: "descriptor";
    /** Open file descriptor, good for pread(2) and splice(2). */
    readonly fd: number;
    /** Byte position in that descriptor. */
    readonly position: number;
    readonly length: number;
  }
  | { readonly kind: "memory"; readonly bytes: Uint8Array<ArrayBuffer> };

/** Bytes of a source. */
export function lengthOf(source: DataSource): number {
  return source.kind === "memory" ? source.bytes.length : source.length;
}

export interface Device {
  /** The name in messages: usually the path that the user gave. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  readonly readOnly: boolean;

  /** Fills the whole of `buffer` from `position`. */
  read(buffer: Uint8Array<ArrayBuffer>, position: number): void;

  /** Writes the whole of `buffer` at `position`. Durable only after {@linkcode flush}. */
  write(buffer: Uint8Array<ArrayBuffer>, position: number): void;

  /**
   * Tells the medium that nobody needs these bytes any more; what they read as afterwards is
   * undefined. Absent where there is no such thing. Throws EOPNOTSUPP where the medium cannot.
   */
  discard?(position: number, length: number): void;

  /**
   * Begins to bring these bytes to the medium, so that less is left for the next {@linkcode flush}.
   * Absent where nothing is gained. Never fails.
   */
  startFlush?(position: number, length: number): void;

  /** Returns when all writes so far are on the medium. */
  flush(): void;

  /**
   * Where the bytes from `position` on are. The answer covers 1 to `length` bytes: ask again for
   * the rest. A memory answer stays good until the next write.
   */
  source(position: number, length: number): DataSource;

  /** Tells the system that these bytes will be read soon. Never fails. */
  willRead(position: number, length: number): void;

  /**
   * Forgets what the system remembers of these bytes, so that the next read asks the medium, which
   * another host may have written to. Absent where nobody else can. Never fails.
   */
  forgetCached?(position: number, length: number): void;

  /**
   * For the kernel, to read and write the bytes by itself: an open descriptor, and at which byte of
   * it the device begins. Absent, or undefined, where these are not all of what can be read here.
   */
  backing?(): { readonly fd: number; readonly position: number } | undefined;

  /**
   * From now on nothing is read from, or left in, the system's page cache, which does not see what
   * the kernel reads and writes by itself. Present where `backing` is.
   */
  bypassCache?(): void;

  /** Lets go of the medium. The device is not used afterwards. */
  close(): void;
}
