/** Which process serves an image: the one that holds a lock on it. */

/** Undefined while nobody holds it. */
export function serverOf(image: string): number | undefined {
  const { dev, ino } = Deno.statSync(image);
  for (const line of Deno.readTextFileSync("/proc/locks").split("\n")) {
    const [, , , , pid, file] = line.split(/\s+/);
    // Files of other file systems may have the same number.
    if (file?.endsWith(`:${ino}`) && hasOpen(pid, dev, ino)) return Number(pid);
  }
  return undefined;
}

function hasOpen(pid: string, dev: number, ino: number | null): boolean {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/fd`)].some(({ name }) => {
      const info = Deno.statSync(`/proc/${pid}/fd/${name}`);
      return info.dev === dev && info.ino === ino;
    });
  } catch {
    // It has ended, or closed what was just listed.
    return false;
  }
}
