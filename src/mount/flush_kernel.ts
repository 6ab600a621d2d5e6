/**
 * The end of a mount by a signal. The kernel still has data that was written to the mount and not
 * sent to the server yet: another process asks for them, by syncfs(2), while requests go on being
 * answered. After an unmount there is nothing left to ask for.
 *
 * It must be a process of its own. A thread of this one that waits for its answers would outlive a
 * SIGKILL, and with it the descriptor of /dev/fuse, whose end alone ends the waiting.
 */

import type { Session } from "../fuse/session.ts";
import { messageOf } from "../sys/fs_error.ts";
import type { Log } from "../sys/log.ts";
import { waitReadable } from "../sys/messages.ts";
import type { Timer } from "./loop.ts";

/** How long the end of the flush may go unnoticed. */
const PAUSE_MS = 2;

/**
 * @param sync has another process sync the mount; what it cannot do is logged
 */
export async function flushKernel(
  session: Session,
  sync: () => Promise<void>,
  timer: Timer,
  log: Log,
): Promise<void> {
  session.resume();
  // If the mount is gone the kernel says so now.
  if (session.receive()) session.process();
  if (session.exited) return;
  let isDone = false;
  sync()
    .catch((error) => log.error(`What the kernel still had is lost: ${messageOf(error)}`))
    .finally(() => isDone = true);
  // A second signal ends the server at once.
  while (!isDone && !session.exited) {
    while (session.receive()) session.process();
    if ((timer.due() ?? Infinity) <= 0) timer.fire();
    waitReadable(session.fd, PAUSE_MS);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  // syncfs(2) had everything sent, but need not have waited for the answers of a FUSE server: the
  // last requests may have come between two looks.
  while (!session.exited && session.receive()) session.process();
}
