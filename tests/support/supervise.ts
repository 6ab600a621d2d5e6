/**
 * Runs a worker of the tests in a process of its own, so that a hang can be ended and memory be
 * measured. The worker prints one line of JSON for each step; a step that takes too long ends it.
 */

/** What the worker did not do properly, or undefined when all went well. */
export type Failure = string | undefined;

export interface Supervision {
  /** File beside this module. */
  readonly worker: string;
  readonly args: readonly string[];
  /** Longest time for one step, in milliseconds. */
  readonly stepTime: number;
  readonly onStep: (step: unknown) => void;
}

/** Runs a worker to its end. */
export async function supervise(supervision: Supervision): Promise<Failure> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--allow-all", "--no-check", "--v8-flags=--expose-gc"],
      new URL(supervision.worker, import.meta.url).pathname,
      ...supervision.args,
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const giveUp = () => {
    late = true;
    child.kill("SIGKILL");
  };
  let timer = setTimeout(giveUp, supervision.stepTime);
  const errors = new Response(child.stderr).text();
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      clearTimeout(timer);
      supervision.onStep(JSON.parse(line));
      timer = setTimeout(giveUp, supervision.stepTime);
    }
  }
  clearTimeout(timer);
  const { code, signal } = await child.status;
  if (late) return `took more than ${supervision.stepTime} ms`;
  if (code === 0) return undefined;
  return `ended with ${signal ?? code}: ${(await errors).slice(-4000)}`;
}
