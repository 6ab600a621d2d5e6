/** Mounts and serves handlers, and prints "ready" and "ended" for the test that started this process. */

import type { Handlers } from "../../src/fuse/handlers.ts";
import { openLibfuse } from "../../src/fuse/library.ts";
import { Session } from "../../src/fuse/session.ts";
import { handshake, serve } from "../../src/mount/loop.ts";

export function serveHandlers(
  handlers: Handlers,
  mountpoint: string,
  options: readonly string[],
  posixAcl: boolean,
): void {
  const log = { debug() {}, info() {}, warn: console.error, error: console.error };
  {
    const mountOptions = options.join(",");
    using session = new Session(
      openLibfuse(),
      handlers,
      { mountOptions, debug: false, posixAcl },
      log,
    );
    session.mount(mountpoint);
    handshake(session);
    console.log("ready");
    serve(session);
  }
  console.log("ended");
}
