/** The process in its system: session, processors, clock, mounts, and the log. */

import { check, cString, libc } from "./libc.ts";

const CLOCK_REALTIME_COARSE = 5;
const timeFields = new DataView(new ArrayBuffer(16));
const timeBytes = new Uint8Array(timeFields.buffer);

/** The time by the clock that the kernel's file systems go by: it moves with the timer's ticks. */
export function fileTime(): { readonly sec: number; readonly nsec: number } {
  check(libc().clock_gettime(CLOCK_REALTIME_COARSE, timeBytes), () => "read the clock");
  const sec = timeFields.getInt32(4, true) * 2 ** 32 + timeFields.getUint32(0, true);
  return { sec, nsec: timeFields.getUint32(8, true) };
}

/** Takes back prctl(2)'s PR_SET_PDEATHSIG: the end of the parent is no signal any more. */
export function outliveParent(): void {
  const PR_SET_PDEATHSIG = 1;
  libc().prctl(PR_SET_PDEATHSIG, 0n, 0n, 0n, 0n);
}

/** setsid(2). Failure means that the process leads a session already. */
export function setsid(): void {
  libc().setsid();
}

/** umount2(2). */
export function umount(target: string, flags = 0): void {
  check(libc().umount2(cString(target), flags), () => `unmount ${target}`);
}

const MS_REMOUNT = 32;

/** mount(2) with MS_REMOUNT: gives a mount other flags. */
export function remount(target: string, flags: number): void {
  check(
    libc().mount(null, cString(target), null, BigInt(MS_REMOUNT | flags), null),
    () => `remount ${target}`,
  );
}

/** How many processors this process may run on. */
export function usableProcessors(): number {
  const mask = new Uint8Array(128);
  check(libc().sched_getaffinity(0, BigInt(mask.length), mask), () => "read the processor mask");
  let count = 0;
  for (const byte of mask) {
    for (let bits = byte; bits !== 0; bits &= bits - 1) count++;
  }
  return count;
}

const LOG_PID = 1;
const LOG_DAEMON = 3 << 3;
/** openlog(3) keeps the pointer, so the bytes must never be collected. */
const IDENT = cString("fuse4fs");
const FORMAT = cString("%s");
let logIsOpen = false;

/** syslog(3) with one of the levels LOG_ERR 3, LOG_WARNING 4, LOG_INFO 6, LOG_DEBUG 7. */
export function syslog(level: number, message: string): void {
  if (!logIsOpen) {
    libc().openlog(Deno.UnsafePointer.of(IDENT), LOG_PID, LOG_DAEMON);
    logIsOpen = true;
  }
  libc().syslog(level, FORMAT, cString(message));
}
