/** Help, versions, man page and completion scripts. */

import assert from "node:assert/strict";
import { buildProgram } from "../src/cli/program.ts";
import { MOUNT_OPTIONS } from "../src/mount/option_table.ts";
import { fuse4fs } from "./support/command_line.ts";
import { run, TempDir } from "./support/run.ts";

const COMMANDS = buildProgram().commands.map((command) => command.name());

/** False, with a word about it, where a program is not installed: only some shells are. */
async function has(program: string): Promise<boolean> {
  const { code } = await run("sh", ["-c", `command -v ${program}`], { codes: [0, 1, 127] });
  if (code !== 0) console.log(`skipped: needs ${program}`);
  return code === 0;
}

Deno.test("-h lists commands and mount options, -V the versions", async () => {
  const help = await fuse4fs(["-h"]);
  assert.equal(help.code, 0);
  for (const word of [...COMMANDS, "partition=N", "norecovery, noload"]) {
    assert.ok(help.stdout.includes(word), word);
  }
  const version = await fuse4fs(["-V"]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^fuse4fs \d+\.\d+\.\d+\nlibfuse .+\nDeno \d+/);
});

Deno.test("without arguments the help goes to stderr, with exit code 1", async () => {
  const { code, stdout, stderr } = await fuse4fs([]);
  assert.equal(code, 1);
  assert.equal(stdout, "");
  assert.match(stderr, /^Usage: fuse4fs DEVICE MOUNTPOINT/);
});

Deno.test("man: the page names every command and mount option, and groff takes it", async () => {
  const { stdout } = await fuse4fs(["man"]);
  for (const name of COMMANDS) assert.ok(stdout.includes(`fuse4fs ${name}`), name);
  for (const { names } of MOUNT_OPTIONS) {
    for (const name of names) assert.ok(stdout.includes(name.replaceAll("-", "\\-")), name);
  }
  if (!await has("groff")) return;
  const { stderr } = await run("groff", ["-man", "-Tutf8", "-ww", "-z"], { input: stdout });
  assert.equal(stderr, "");
});

/** What the bash script offers for a line, whose last word is being typed. */
async function completions(words: readonly string[]): Promise<string[]> {
  using folder = new TempDir();
  const script = folder.join("script");
  Deno.writeTextFileSync(script, (await fuse4fs(["completion", "bash"])).stdout);
  const { stdout } = await run("bash", [
    "-c",
    `source "$0"; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _fuse4fs
     printf '%s\\n' "\${COMPREPLY[@]}"`,
    script,
    ...words,
  ]);
  return stdout.split("\n").filter((word) => word !== "");
}

Deno.test("completion bash: commands, options, mount options, shells", async () => {
  if (!await has("bash")) return;
  const commands = await completions(["fuse4fs", ""]);
  for (const name of COMMANDS) assert.ok(commands.includes(name), name);
  assert.deepEqual(await completions(["fuse4fs", "inf"]), ["info"]);
  assert.ok((await completions(["fuse4fs", "ls", "--"])).includes("--recursive"));
  assert.deepEqual(await completions(["fuse4fs", "x", "y", "-o", "part"]), ["partition="]);
  assert.deepEqual(await completions(["fuse4fs", "x", "y", "-o", "ro,noloa"]), ["ro,noload"]);
  assert.deepEqual(await completions(["fuse4fs", "completion", "z"]), ["zsh"]);
});

for (const shell of ["zsh", "fish"]) {
  Deno.test(`completion ${shell}: the shell can read the script`, async () => {
    const { stdout } = await fuse4fs(["completion", shell]);
    for (const name of COMMANDS) assert.ok(stdout.includes(name), name);
    for (const { names } of MOUNT_OPTIONS.filter((row) => row.effect === "apply")) {
      for (const name of names) assert.ok(stdout.includes(name), name);
    }
    if (!await has(shell)) return;
    using folder = new TempDir();
    Deno.writeTextFileSync(folder.join("script"), stdout);
    await run(shell, ["-n", folder.join("script")]);
  });
}
