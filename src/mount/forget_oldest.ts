/** Drops what came first into a Map or Set, of those whose memory is bounded. */
export function forgetOldest<Key>(entries: Map<Key, unknown> | Set<Key>): void {
  for (const oldest of entries.keys()) {
    entries.delete(oldest);
    return;
  }
}
