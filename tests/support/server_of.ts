/** Which process serves an image: the one that holds a lock on it. */

/** Undefined while nobody holds it. */
export function serverOf(image: string): number | undefined {
  const { dev, ino } = Deno.statSync(image);
  for (const line of Deno.readTextFileSync("/proc/locks").split("\n")) {
    const [, , , , pid, file] = line.split(/\s+/);
    if (!file?.endsWith(`:${ino}`)) continue;
    // Files of other file systems may have the same number.
    const opened = openFiles(pid);
    if (opened.some((info) => info.dev === dev && info.ino === ino)) return Number(pid);
  }
  return undefined;
}

/** The files that a process has open; those that it closes meanwhile may be missing. */
function openFiles(pid: string): Deno.FileInfo[] {
  const folder = `/proc/${pid}/fd`;
  return entriesOf(folder).flatMap((name) => {
    try {
      return [Deno.statSync(`${folder}/${name}`)];
    } catch {
      return [];
    }
  });
}

function entriesOf(folder: string): string[] {
  try {
    return Array.from(Deno.readDirSync(folder), ({ name }) => name);
  } catch {
    return [];
  }
}
