/** What /proc tells of another process: proc(5). */

const MIB = 2 ** 20;
/** Unit of the times in /proc/PID/stat, sysconf(_SC_CLK_TCK): 100 on all of Linux's machines. */
const TICKS_PER_SECOND = 100;

/** The process that has this text as one of its arguments. Throws when there is none. */
export function findProcess(argument: string): number {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (/^[0-9]+$/.test(name) && argumentsOf(name).includes(argument)) return Number(name);
  }
  throw new Error(`No process has the argument ${argument}`);
}

function argumentsOf(pid: string): string[] {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).split("\0");
  } catch {
    return []; // It ended since the folder was read.
  }
}

/** False also for a process that has ended and that nobody has waited for yet. */
export function isRunning(pid: number): boolean {
  try {
    return !["Z", "X"].includes(statFields(pid)[0]);
  } catch {
    return false;
  }
}

/** Memory that a process has in use now, and the most it ever had, in MiB. */
export function memory(pid: number): { readonly resident: number; readonly peak: number } {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  const field = (name: string) => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status);
    if (found === null) throw new Error(`/proc/${pid}/status has no ${name}`);
    return Number(found[1]) * 1024 / MIB;
  };
  return { resident: field("VmRSS"), peak: field("VmHWM") };
}

/** Processor time that a process has used so far, its own and the kernel's on its behalf. */
export function processorSeconds(pid: number): number {
  const [utime, stime] = statFields(pid).slice(11, 13).map(Number);
  return (utime + stime) / TICKS_PER_SECOND;
}

/** The fields of /proc/PID/stat from the third, the state, on: a name may hold anything. */
function statFields(pid: number): string[] {
  const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).trimEnd().split(" ");
}
