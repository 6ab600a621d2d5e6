import type { FileSystem } from "./filesystem.ts";

/** @param label up to 16 bytes, without the NUL behind it */
export function setLabel(_fs: FileSystem, _label: Uint8Array): void {
  throw new Error("not built yet");
}
