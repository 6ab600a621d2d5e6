/**
 * A queue of reads and writes that the kernel does in the background (io_uring), for work that must
 * not hold up this thread. Each entry of the queue is handed over with those that were added with
 * it; that one is done is seen when somebody asks.
 *
 *     add, add, add -> submit  ~~ the kernel's threads ~~>  finished
 *
 * Some systems do not let programs have it: see {@linkcode IoUring.open}.
 */

import { Errno } from "./errno.ts";
import { FsError } from "./fs_error.ts";
import { SharedMapping } from "./c_memory.ts";
import { close } from "./files.ts";
import { bufferAddress, lastErrno } from "./libc.ts";

// Not in the table of libc.ts: few mounts come to need it.
const SYMBOLS = {
  // Integers of a variable argument list go where those of a fixed one go, on x86-64 and aarch64.
  syscall: {
    parameters: [
      "i64", // long number
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
      "u64",
    ],
    result: "i64",
  },
} as const satisfies Deno.ForeignLibraryInterface;

type Symbols = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

/** The same on all machines: newer than their separate tables of numbers. */
const SYS_io_uring_setup = 425n;
const SYS_io_uring_enter = 426n;
const SYS_io_uring_register = 427n;
const IORING_REGISTER_IOWQ_MAX_WORKERS = 19n;
/** The kernel does its part on this thread when it makes a system call anyway. */
const IORING_SETUP_COOP_TASKRUN = 1 << 8;
const IORING_FEAT_SINGLE_MMAP = 1 << 0;
const IORING_OFF_SQES = 0x10000000;

/** struct io_uring_params, by 32-bit words. */
const PARAMS_WORDS = 30;
const Params = { flags: 2, features: 5, sq: 10, cq: 20 } as const;
/** struct io_sqring_offsets and io_cqring_offsets, the same. */
const Ring = { head: 0, tail: 1, mask: 2, array: 6, cqes: 5 } as const;

const SQE_SIZE = 64;
const CQE_SIZE = 16;
/** struct io_uring_sqe */
const Sqe = { opcode: 0, flags: 1, fd: 4, off: 8, addr: 16, len: 24, userData: 32 } as const;
const IORING_OP_READ = 22;
const IORING_OP_WRITE = 23;
const IOSQE_IO_LINK = 1 << 2;
const IOSQE_ASYNC = 1 << 4;

/** A read or a write. */
export interface Transfer {
  readonly kind: "read" | "write";
  readonly fd: number;
  /** Address of the memory, which must stay where it is until this is finished. */
  readonly address: number;
  readonly length: number;
  /** Byte of the file. */
  readonly position: number;
  /** Comes back from finished(). */
  readonly tag: number;
  /** The next one is done after this one, and not at all when this one fails or is cut short. */
  readonly linksNext: boolean;
}

export class IoUring implements Disposable {
  readonly #symbols: Symbols;
  readonly #fd: number;
  readonly #entries: number;
  readonly #mappings = new DisposableStack();
  readonly #ring: Int32Array<ArrayBuffer>;
  readonly #cqes: DataView<ArrayBuffer>;
  readonly #sqes: DataView<ArrayBuffer>;
  /** Places in the ring, by words. */
  readonly #sqTail: number;
  readonly #sqArray: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  #added = 0;

  private constructor(symbols: Symbols, fd: number, params: Int32Array) {
    this.#symbols = symbols;
    this.#fd = fd;
    this.#entries = params[0];
    const cqEntries = params[1];
    const sqOffset = (field: number) => params[Params.sq + field];
    const cqOffset = (field: number) => params[Params.cq + field];
    const size = Math.max(
      sqOffset(Ring.array) + this.#entries * 4,
      cqOffset(Ring.cqes) + cqEntries * CQE_SIZE,
    );
    const ring = this.#map(size, 0);
    this.#ring = new Int32Array(ring, 0, size >>> 2);
    this.#cqes = new DataView(ring, cqOffset(Ring.cqes));
    this.#sqes = new DataView(this.#map(this.#entries * SQE_SIZE, IORING_OFF_SQES));
    this.#sqTail = sqOffset(Ring.tail) / 4;
    this.#sqArray = sqOffset(Ring.array) / 4;
    this.#cqHead = cqOffset(Ring.head) / 4;
    this.#cqTail = cqOffset(Ring.tail) / 4;
    this.#cqMask = this.#ring[cqOffset(Ring.mask) / 4];
  }

  /**
   * @param entries how many transfers can be added before submit, a power of two
   * @param workers how many threads of the kernel may work at a time
   * @throws FsError EPERM or ENOSYS where there is none to be had
   */
  static open(entries: number, workers: number): IoUring {
    const { symbols } = Deno.dlopen("libc.so.6", SYMBOLS);
    const params = new Int32Array(PARAMS_WORDS);
    params[Params.flags] = IORING_SETUP_COOP_TASKRUN;
    const setUp = () =>
      symbols.syscall(
        SYS_io_uring_setup,
        BigInt(entries),
        BigInt(bufferAddress(params)),
        0n,
        0n,
        0n,
        0n,
      );
    let fd = Number(setUp());
    if (fd < 0 && lastErrno() === Errno.EINVAL) {
      params.fill(0);
      fd = Number(setUp());
    }
    if (fd < 0) throw new FsError(lastErrno(), "Cannot set up io_uring");
    try {
      if ((params[Params.features] & IORING_FEAT_SINGLE_MMAP) === 0) {
        throw new FsError(Errno.ENOSYS, "io_uring is too old");
      }
      const ring = new IoUring(symbols, fd, params);
      ring.#limitWorkers(workers);
      return ring;
    } catch (error) {
      close(fd);
      throw error;
    }
  }

  /** How many transfers can still be added before submit. */
  get room(): number {
    return this.#entries - this.#added;
  }

  add(transfer: Transfer): void {
    if (this.room === 0) throw new Error("too many transfers at a time");
    const tail = this.#ring[this.#sqTail] + this.#added++;
    const slot = (tail >>> 0) % this.#entries;
    const at = slot * SQE_SIZE;
    const view = this.#sqes;
    for (let byte = 0; byte < SQE_SIZE; byte += 8) view.setFloat64(at + byte, 0);
    view.setUint8(at + Sqe.opcode, transfer.kind === "read" ? IORING_OP_READ : IORING_OP_WRITE);
    view.setUint8(at + Sqe.flags, IOSQE_ASYNC | (transfer.linksNext ? IOSQE_IO_LINK : 0));
    view.setInt32(at + Sqe.fd, transfer.fd, true);
    setUint64(view, at + Sqe.off, transfer.position);
    setUint64(view, at + Sqe.addr, transfer.address);
    view.setUint32(at + Sqe.len, transfer.length, true);
    setUint64(view, at + Sqe.userData, transfer.tag);
    this.#ring[this.#sqArray + slot] = slot;
  }

  /** Hands over what was added. Throws FsError. */
  submit(): void {
    const count = this.#added;
    this.#added = 0;
    Atomics.add(this.#ring, this.#sqTail, count);
    for (let left = count; left > 0;) {
      const taken = Number(
        this.#symbols.syscall(
          SYS_io_uring_enter,
          BigInt(this.#fd),
          BigInt(left),
          0n,
          0n,
          0n,
          0n,
        ),
      );
      if (taken < 0 && lastErrno() === Errno.EINTR) continue;
      if (taken <= 0) throw new FsError(lastErrno(), "Cannot hand over work to io_uring");
      left -= taken;
    }
  }

  /** Calls `act` with the tag of each transfer that is finished, and its result: see pread(2). */
  finished(act: (tag: number, result: number) => void): void {
    let head = this.#ring[this.#cqHead];
    const tail = Atomics.load(this.#ring, this.#cqTail);
    for (; head !== tail; head = (head + 1) | 0) {
      const at = (head & this.#cqMask) * CQE_SIZE;
      act(this.#cqes.getUint32(at, true), this.#cqes.getInt32(at + 8, true));
    }
    Atomics.store(this.#ring, this.#cqHead, head);
  }

  [Symbol.dispose](): void {
    this.#mappings.dispose();
    close(this.#fd);
  }

  #map(size: number, position: number): ArrayBuffer {
    return this.#mappings.use(new SharedMapping(this.#fd, size, position)).memory;
  }

  /** That the kernel is too old to be told does no harm. */
  #limitWorkers(workers: number): void {
    const limits = new Int32Array([workers, workers]);
    this.#symbols.syscall(
      SYS_io_uring_register,
      BigInt(this.#fd),
      IORING_REGISTER_IOWQ_MAX_WORKERS,
      BigInt(bufferAddress(limits)),
      BigInt(limits.length),
      0n,
      0n,
    );
  }
}

function setUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
