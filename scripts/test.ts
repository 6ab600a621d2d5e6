/**
 * `deno task test`: installs what is missing, builds the executable, runs the tests, and ends with
 * a line `N passed, N failed`. With arguments, only the files that they name.
 *
 * Files run in two processes at a time: most of the time of a test is spent in mke2fs, mount and
 * e2fsck. Each prints its report when it is done, so that reports do not mix.
 */

import { ensure, FOR_TESTING } from "./dependencies.ts";
import { buildIfNeeded } from "./executable.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const PROCESSES = 2;

/** `ok | 12 passed | 1 failed | 2 ignored (3s)` as Deno ends its report. */
const SUMMARY = /^(?:ok|FAILED) \| (\d+) passed.*? \| (\d+) failed(?:.*?\| (\d+) ignored)?/m;

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

async function main(args: string[]): Promise<void> {
  ensure(FOR_TESTING);
  buildIfNeeded();
  const files = args.length > 0 ? args : testFiles();
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const waiting = [...files];
  await Promise.all(Array.from({ length: PROCESSES }, async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
      const counts = await runFile(file);
      total.passed += counts.passed;
      total.failed += counts.failed;
      total.skipped += counts.skipped;
    }
  }));
  if (total.passed + total.failed === 0) {
    console.log("no test was run");
    total.failed = 1;
  }
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
  Deno.exit(total.failed > 0 ? 1 : 0);
}

/** The longest first, so that the last process to end is not one that has just begun. */
function testFiles(): string[] {
  const files = [...Deno.readDirSync(`${ROOT}tests`)]
    .filter(({ name }) => name.endsWith("_test.ts"))
    .map(({ name }) => `tests/${name}`)
    .sort();
  const isLong = (file: string) => LONG.some((name) => file.includes(name));
  return [...files.filter(isLong), ...files.filter((file) => !isLong(file))];
}

const LONG = [
  "read_matrix",
  "fuzz",
  "bad_images",
  "vm_test",
  "jbd2",
  "crash_states",
  "fault_injection",
  "kill",
  "random_operations",
  "posix_test",
  "fsx",
];

async function runFile(file: string): Promise<Counts> {
  const started = performance.now();
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--no-check", file],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const report = new TextDecoder().decode(stdout);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`\n=== ${file} (${seconds} s)\n${report.trimEnd()}`);
  const problems = new TextDecoder().decode(stderr).trimEnd();
  if (problems !== "") console.log(problems);
  const [, passed, failed, skipped] = report.match(SUMMARY) ?? [];
  // A file that does not even load has no summary.
  if (passed === undefined) return { passed: 0, failed: 1, skipped: 0 };
  // A test that misses something on this machine says so and returns (tests/support/requirements.ts).
  const said = report.match(/^skipped: /gm)?.length ?? 0;
  const counts = {
    passed: Number(passed) - said,
    failed: Number(failed),
    skipped: Number(skipped ?? 0) + said,
  };
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

await main(Deno.args);
