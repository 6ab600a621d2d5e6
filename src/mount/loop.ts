/**
 * The loop that answers requests: one thread, one request at a time.
 *
 * Going to sleep and being woken costs more than a request does. So after each request the loop
 * looks for the next one a while before it sleeps, as long as that pays: when the last looks found
 * nothing it sleeps at once, and tries again from time to time. With only one processor to share,
 * looking would keep the client from running: there it sleeps in the call that gets the next request,
 * which saves two.
 */

import type { Session } from "../fuse/session.ts";
import { waitReadable } from "../sys/messages.ts";
import { usableProcessors } from "../sys/system.ts";
import type { WakeLatency } from "./wake_latency.ts";

/**
 * How long to look before going to sleep. 30 do for stat(2), one after the other; what tar does
 * between two requests takes longer.
 */
const SPIN_MICROSECONDS = 100;
/** After so many looks in vain in a row the loop gives up looking. */
const PATIENCE = 16;
/** While it has given up, every so many requests it looks again. */
const RETRY_EVERY = 64;
/** So many requests in a row that were found by looking are a stream of them. */
const STREAM = 64;
/** After so many milliseconds without a request all is quiet: a stream has ended. */
const QUIET_AFTER_MS = 5;
/** A signal that arrives between the check and the poll is noticed after this time at the latest. */
const LONGEST_SLEEP_MS = 1000;

/** Something else that has its time on this thread, such as the commit of a journal. */
export interface Timer {
  /** Milliseconds until `fire` wants to run, undefined when there is nothing to wait for. */
  due(): number | undefined;
  /** Runs between two requests. Its time must lie ahead afterwards, or no request is answered. */
  fire(): void;
}

/** Answers requests until the kernel and the server have agreed how to talk. */
export function handshake(session: Session): void {
  while (!session.isReady && !session.exited) {
    if (session.receive()) session.process();
    else waitReadable(session.fd, LONGEST_SLEEP_MS);
  }
}

/** Several timers as one. */
export function together(timers: readonly Timer[]): Timer | undefined {
  if (timers.length < 2) return timers[0];
  return {
    due() {
      const times = timers.map((timer) => timer.due()).filter((due) => due !== undefined);
      return times.length === 0 ? undefined : Math.min(...times);
    },
    fire() {
      for (const timer of timers) {
        if (timer.due() === 0) timer.fire();
      }
    },
  };
}

/** What the loop does, or sees to, beside answering requests. */
export interface LoopOptions {
  readonly timer?: Timer | undefined;
  /** Does something small that can wait until all is quiet; false: there is nothing to do. */
  readonly whileQuiet?: () => boolean;
  /** Held as long as requests come one after the other. */
  readonly wakeLatency?: Pick<WakeLatency, "hold" | "release">;
}

/** What the loop needs of a session. */
export type RequestSource =
  & Pick<Session, "exited" | "fd" | "receive" | "process">
  & Partial<Pick<Session, "receiveWaits">>;

/** Answers requests until the session ends by an unmount or a signal. */
export function serve(session: RequestSource, options: LoopOptions = {}): void {
  const { timer, whileQuiet, wakeLatency } = options;
  const hasCompany = usableProcessors() > 1;
  const spin = new Spin(hasCompany);
  if (!hasCompany && timer === undefined) session.receiveWaits?.();
  let isQuiet: boolean = false;
  while (!session.exited) {
    // Asked for between any two requests: a busy client must not put a commit off for ever.
    const due = timer?.due();
    if (due !== undefined && due <= 0) {
      timer?.fire();
      continue;
    }
    if (session.receive()) {
      isQuiet = false;
      session.process();
      spin.answered();
      if (spin.streak >= STREAM) wakeLatency?.hold();
      continue;
    }
    if (spin.wantsToLook() || (isQuiet && whileQuiet?.())) continue;
    const longest: number = isQuiet ? LONGEST_SLEEP_MS : QUIET_AFTER_MS;
    isQuiet = !waitReadable(session.fd, Math.min(longest, Math.ceil(due ?? longest)));
    if (isQuiet) wakeLatency?.release();
    spin.slept();
  }
}

/** Decides whether to look once more or to sleep. */
export class Spin {
  readonly #allowed: boolean;
  /** Milliseconds. */
  readonly #now: () => number;
  /** Requests in a row, up to the last one, that were found by looking. */
  streak = 0;
  /** Time of the last answer, while looking. */
  #since = 0;
  #looking = false;
  #foundByLooking = false;
  #vain = 0;
  #skipped = 0;

  constructor(allowed: boolean, now: () => number = () => performance.now()) {
    this.#allowed = allowed;
    this.#now = now;
  }

  /** A request was answered: look for the next one from now on. */
  answered(): void {
    if (!this.#allowed) return;
    if (this.#looking && this.#foundByLooking) {
      this.#vain = 0;
      this.streak++;
    }
    this.#looking = this.#vain < PATIENCE || ++this.#skipped % RETRY_EVERY === 0;
    this.#foundByLooking = true;
    if (this.#looking) this.#since = this.#now();
  }

  wantsToLook(): boolean {
    if (!this.#looking) return false;
    return (this.#now() - this.#since) * 1000 < SPIN_MICROSECONDS;
  }

  /** The time was over, and the loop slept: looking was in vain. */
  slept(): void {
    if (this.#looking) this.#vain++;
    this.streak = 0;
    this.#looking = false;
    this.#foundByLooking = false;
  }
}
