/**
 * The structures and numbers of src/fuse/wire.ts, layout.ts and operations.ts, against the headers
 * of the kernel and of libfuse as the C compiler sees them. (FUSE_CFLAGS points it to other
 * versions of them.)
 */

import assert from "node:assert/strict";
import * as layout from "../src/fuse/layout.ts";
import { IOMAP_OPERATIONS } from "../src/fuse/iomap_operations.ts";
import { OPERATIONS } from "../src/fuse/operations.ts";
import * as wire from "../src/fuse/wire.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

/** A declared structure, as far as it is compared. */
interface AnyStruct {
  readonly structName: string;
  readonly byteLength: number;
  readonly fieldNames: readonly string[];
}
type Fields = Readonly<Record<string, { readonly offset: number; readonly size: number }>>;

/** What is compared: an expression of C, and its value here. */
interface Fact {
  readonly expression: string;
  readonly value: number;
  /** Minor version of the kernel's protocol that brought it. */
  readonly since: number;
}

/** What the header here, of 7.38 or later, may not have. */
const SINCE: Readonly<Record<string, number>> = {
  fuse_statx_in: 39,
  fuse_statx: 39,
  fuse_statx_out: 39,
  "fuse_open_out.backing_id": 40,
  fuse_copy_file_range_out: 45,
};

const OPERATION_SINCE: Readonly<Record<string, number>> = { statx: 39, copy_file_range_64: 45 };

/** Structures that wire.ts ends before their last member, which is a structure of its own. */
const TAILS: Readonly<Record<string, string>> = {
  fuse_entry_out: "attr",
  fuse_attr_out: "attr",
  fuse_statx_out: "stat",
};

/** C's name of a field: padding has various names, and the times of statx are structures. */
function memberName(field: string): string | undefined {
  if (/^(padding|dummy|reserved|spare|unused|[abcm]time_reserved)\d*$/.test(field)) {
    return undefined;
  }
  return field.replace(/^([abcm]time)_(sec|nsec)$/, "$1.tv_$2");
}

function* structFacts(struct: AnyStruct, cName: string): Generator<Fact> {
  const since = SINCE[struct.structName] ?? 0;
  const tail = TAILS[struct.structName];
  const end = tail === undefined ? `sizeof(${cName})` : `offsetof(${cName}, ${tail})`;
  yield { expression: end, value: struct.byteLength, since };
  for (const name of struct.fieldNames) {
    const member = memberName(name);
    if (member === undefined) continue;
    const field = (struct as unknown as Fields)[name];
    const memberSince = SINCE[`${struct.structName}.${name}`] ?? since;
    const offset = `offsetof(${cName}, ${member})`;
    yield { expression: offset, value: field.offset, since: memberSince };
    const size = `sizeof(((${cName} *)0)->${member})`;
    yield { expression: size, value: field.size, since: memberSince };
  }
}

function isStruct(value: unknown): value is AnyStruct {
  return typeof value === "object" && value !== null && "structName" in value;
}

/** Compiles a program that prints the expressions, and compares. */
async function compare(facts: readonly Fact[], includes: string, minor: string): Promise<void> {
  const prints = facts.map(({ expression, since }, index) =>
    `#if ${minor} >= ${since}\nprintf("${index} %ld\\n", (long)(${expression}));\n#endif\n`
  );
  const program = `${includes}\n#include <stddef.h>\n#include <stdio.h>\nint main(void)\n{\n${
    prints.join("")
  }return 0;\n}\n`;
  using folder = new TempDir();
  Deno.writeTextFileSync(folder.join("facts.c"), program);
  const { stdout: flags } = await run("pkg-config", ["--cflags", "fuse3"]);
  const allFlags = `${Deno.env.get("FUSE_CFLAGS") ?? ""} ${flags}`.trim().split(/\s+/);
  await run("gcc", [...allFlags, "-o", folder.join("facts"), folder.join("facts.c")]);
  const { stdout } = await run(folder.join("facts"), []);
  const lines = stdout.trim().split("\n").map((line) => line.split(" ").map(Number));
  assert.ok(lines.length > facts.length / 2, `only ${lines.length} facts were compared`);
  for (const [index, value] of lines) {
    assert.equal(facts[index].value, value, facts[index].expression);
  }
}

Deno.test("wire: structures, opcodes and flags are those of linux/fuse.h", async () => {
  if (!requires("gcc", "libfuse3-dev")) return;
  const structs = Object.values<unknown>(wire).filter(isStruct);
  assert.ok(structs.length >= 20);
  const facts = structs.flatMap((struct) => {
    // The answer to STATFS holds nothing but this.
    const name = struct.structName === "fuse_statfs_out" ? "fuse_kstatfs" : struct.structName;
    return [...structFacts(struct, `struct ${name}`)];
  });
  for (const [name, value] of Object.entries(wire)) {
    if (typeof value === "number") facts.push({ expression: name, value, since: 0 });
  }
  // No released header has the requests of iomap: tests/iomap_test.ts has them.
  for (const { name, opcode } of OPERATIONS.filter((row) => !IOMAP_OPERATIONS.includes(row))) {
    const since = OPERATION_SINCE[name] ?? 0;
    facts.push({ expression: `FUSE_${name.toUpperCase()}`, value: opcode, since });
  }
  await compare(facts, "#include <linux/fuse.h>", "FUSE_KERNEL_MINOR_VERSION");
});

Deno.test("layout: structures are those of libfuse's headers", async () => {
  if (!requires("gcc", "libfuse3-dev")) return;
  const { FuseArgs, FuseBuf, LibfuseVersion } = layout;
  const facts: Fact[] = [...structFacts(FuseArgs, "struct fuse_args")];
  facts.push(
    ...structFacts(LibfuseVersion, "struct libfuse_version").map((fact) => (
      { ...fact, since: 17 }
    )),
  );
  // Libfuse appends to this one; its size need only be large enough.
  const [, ...members] = structFacts(FuseBuf, "struct fuse_buf");
  facts.push(...members, {
    expression: `sizeof(struct fuse_buf) <= ${layout.FUSE_BUF_ROOM}`,
    value: 1,
    since: 0,
  });
  const includes = "#define FUSE_USE_VERSION 312\n#include <fuse_lowlevel.h>\n";
  await compare(facts, includes, "FUSE_MINOR_VERSION");
});
