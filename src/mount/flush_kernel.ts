/**
 * The end of a mount by a signal. The kernel still has data that was written to the mount and not
 * sent to the server yet: it is asked for them, by syncfs(2) from another thread, while requests go
 * on being answered. After an unmount there is nothing left to ask for.
 */

import type { Session } from "../fuse/session.ts";
import { syncFileSystem } from "../sys/files.ts";
import { waitReadable } from "../sys/messages.ts";
import type { Timer } from "./loop.ts";

/** How long the end of the flush may go unnoticed. */
const PAUSE_MS = 2;

export async function flushKernel(
  session: Session,
  mountpoint: string,
  timer: Timer,
): Promise<void> {
  session.resume();
  // If the mount is gone the kernel says so now.
  if (session.receive()) session.process();
  if (session.exited) return;
  let isDone = false;
  syncFileSystem(mountpoint).finally(() => isDone = true);
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
