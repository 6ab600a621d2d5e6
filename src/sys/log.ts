/** Where messages go. The mount chooses a sink: stderr in front, syslog in the background. */

export interface Log {
  /** Only with -d or fuse4fs_debug. */
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** Swallows everything: for callers that report through their return value alone. */
export const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };
