/**
 * Gives damaged objects to libbpf, as far as they pass our own checks, and tells of each round in
 * one line before it begins: a crash of libbpf ends this process.
 *
 *     bpf_open_worker.ts LIBBPF OBJECT SEED ROUNDS
 */

import { openLibbpf } from "../../src/bpf/library.ts";
import { BpfObject } from "../../src/bpf/object.ts";
import { Skeleton } from "../../src/bpf/skeleton.ts";
import { FsError } from "../../src/sys/fs_error.ts";
import { Random } from "./random.ts";

const [path, objectPath, seed, rounds] = Deno.args;
const libbpf = openLibbpf(path);
const whole = Deno.readFileSync(objectPath);
const counts = { refused: 0, opened: 0, "refused by libbpf": 0 };

for (let round = 0; round < Number(rounds); round++) {
  const random = new Random(Number(seed) + round);
  const bytes = random.oneIn(10) ? whole.slice(0, random.below(whole.length)) : whole.slice();
  for (let change = random.below(4); change >= 0 && bytes.length > 0; change--) {
    bytes[random.below(bytes.length)] = random.pick([0, 1, 0x7f, 0xff, random.below(256)]);
  }
  let object: BpfObject;
  try {
    object = new BpfObject("damaged", bytes);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    counts.refused++;
    continue;
  }
  Deno.stdout.writeSync(new TextEncoder().encode(`round ${Number(seed) + round}\n`));
  using skeleton = new Skeleton(libbpf, object);
  const result = libbpf.symbols.bpf_object__open_skeleton(skeleton.pointer, null);
  counts[result === 0 ? "opened" : "refused by libbpf"]++;
  libbpf.takeMessages();
}
console.log(JSON.stringify(counts));
