/** Whether what a recovery found is one of the states that a crash may leave. */

import { Buffer } from "node:buffer";
import type { CrashWorkload, Step } from "./crash_workload.ts";
import { type CrashTree, differences, treeAsText } from "./crash_tree.ts";

/** The history of a file system up to a crash. */
export type History = Pick<CrashWorkload, "steps" | "marks">;

/**
 * What is wrong with the tree that a recovery found after a crash behind `events` events of the
 * record; undefined: nothing. It must be the tree behind some step, no older than what was durable,
 * and the content of each file what it was then, byte for byte, or what later steps, which had
 * begun, wrote over it. A step that a file system may do in pieces may also be done in part.
 */
export function wrongAfterCrash(
  { steps, marks }: History,
  events: number,
  found: CrashTree,
): string | undefined {
  const durable = marks.findLast((mark) => mark.events <= events)?.steps ?? 1;
  const begun = steps.findLastIndex(({ begin }) => begin <= events);
  const text = treeAsText(found);
  const complaints: string[] = [];
  for (let at = begun; at >= durable - 1; at--) {
    if (steps[at].after.text !== text) continue;
    const complaint = wrongContent(steps.slice(at, begun + 1), found);
    if (complaint === undefined) return undefined;
    complaints.push(`as behind "${steps[at].what}", but ${complaint}`);
  }
  for (let at = begun; at >= Math.max(1, durable); at--) {
    if (!isBetween(steps[at - 1], steps[at], found)) continue;
    const complaint = wrongContent(steps.slice(at - 1, begun + 1), found);
    if (complaint === undefined) return undefined;
    complaints.push(`in the middle of "${steps[at].what}", but ${complaint}`);
  }
  if (complaints.length > 0) return complaints.join("; ");
  return `none of the states ${durable - 1} to ${begun}; ` +
    `the nearest: ${nearest(steps.slice(durable - 1, begun + 1), found)}`;
}

/** The tree is as before a step that a file system may do in pieces, but for one file's size. */
function isBetween(before: Step, step: Step, found: CrashTree): boolean {
  const { growing } = step;
  if (growing === undefined || found.size !== before.after.tree.size) return false;
  const sizes = [before, step].map(({ after }) => after.contents.get(growing)?.length ?? 0);
  for (const [path, expected] of before.after.tree) {
    const actual = found.get(path);
    if (actual === undefined || actual.facts !== expected.facts) return false;
    const size = actual.content?.length ?? 0;
    if (size === (expected.content?.length ?? 0)) continue;
    if (expected.id !== growing) return false;
    if (size < Math.min(...sizes) || size > Math.max(...sizes)) return false;
  }
  return true;
}

/** @param steps the first is the one whose tree was found, the last had begun */
function wrongContent(steps: readonly Step[], found: CrashTree): string | undefined {
  for (const [path, { id, content }] of steps[0].after.tree) {
    if (id === undefined || content === undefined) continue;
    const versions = new Set(steps.map(({ after }) => after.contents.get(id) ?? content));
    const actual = found.get(path)!.content!;
    if (Buffer.compare(actual, content) === 0) continue;
    const at = firstForeignByte(actual, [...versions]);
    if (at !== undefined) {
      return `byte ${at} of ${path} (${id}, ${actual.length} bytes) is ${actual[at]}, not ` +
        [...versions].map((version) => version[at] ?? 0).join(" or ");
    }
  }
  return undefined;
}

/** Where the content is none of the versions, byte for byte. */
function firstForeignByte(
  actual: Uint8Array,
  versions: readonly Uint8Array[],
): number | undefined {
  for (let at = 0; at < actual.length; at++) {
    const byte = actual[at];
    if (!versions.some((version) => (version[at] ?? 0) === byte)) return at;
  }
  return undefined;
}

/** How the state that is most alike differs. */
function nearest(steps: readonly Step[], found: CrashTree): string {
  const all = steps.map(({ what, after }) => ({ what, lines: differences(after.tree, found) }));
  all.sort((a, b) => a.lines.length - b.lines.length);
  const [{ what, lines }] = all;
  return `behind "${what}":\n  ${lines.slice(0, 10).join("\n  ")}`;
}
