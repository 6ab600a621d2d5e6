/**
 * The groups that somebody is in beside the first one. FUSE does not tell of them: they are read
 * where the kernel shows them, which costs too much for more than rare cases.
 */

/** The supplementary groups of a process or thread; none when it is gone or of another namespace. */
export function supplementaryGroups(pid: number): readonly number[] {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    const [, groups] = /^Groups:\s*(.*)$/m.exec(status) ?? [];
    return (groups ?? "").split(/\s+/).filter((word) => word !== "").map(Number);
  } catch {
    return [];
  }
}
