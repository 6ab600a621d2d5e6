/** UUIDs, which the disk keeps as 16 bytes in the order of their text. */

/** `b55ae8f8-1493-4de7-a240-5598938be864` */
export function uuidText(bytes: Uint8Array): string {
  return bytes.toHex().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
