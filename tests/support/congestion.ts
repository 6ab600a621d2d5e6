/**
 * BPF programs for the one struct_ops type that stock kernels have had for long: algorithms of TCP
 * for congestion. They show that objects are loaded and attached on the running kernel.
 */

import { compile, findClang } from "../../src/bpf/clang.ts";
import { EMBEDDED_HEADERS } from "../../src/bpf/headers.ts";
import { BpfObject } from "../../src/bpf/object.ts";

export interface CongestionOptions {
  /** As it appears in tcp_available_congestion_control. */
  readonly name: string;
  /** C for the body of one program. */
  readonly body?: string;
  /** More declarations. */
  readonly more?: string;
  /** More members of the struct_ops. */
  readonly members?: string;
}

export function congestionSource(
  { name, body = "return 2;", more = "", members = "" }: CongestionOptions,
): string {
  return `#include <fuse_iomap_bpf.h>
DECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;
struct sock;
struct tcp_congestion_ops {
  u32 (*ssthresh)(struct sock *sk);
  void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
  u32 (*undo_cwnd)(struct sock *sk);
  u32 flags;
  char name[16];
};
${more}
SEC("struct_ops/ssthresh") int test_ssthresh(u64 *ctx) { ${body} }
SEC("struct_ops/cong_avoid") int test_cong_avoid(u64 *ctx) { return 0; }
SEC("struct_ops/undo_cwnd") int test_undo_cwnd(u64 *ctx) { return 2; }
SEC(".struct_ops.link") struct tcp_congestion_ops test_ops = {
  .ssthresh = (void *)test_ssthresh,
  .cong_avoid = (void *)test_cong_avoid,
  .undo_cwnd = (void *)test_undo_cwnd,
  ${members}
  .name = "${name}",
};
`;
}

export function congestionObject(options: CongestionOptions): BpfObject {
  const source = congestionSource(options);
  return new BpfObject(
    "congestion",
    compile(findClang(), { name: "congestion", source, headers: EMBEDDED_HEADERS }),
  );
}

/** The algorithms that the kernel has now. */
export function congestionAlgorithms(): string[] {
  const path = "/proc/sys/net/ipv4/tcp_available_congestion_control";
  return Deno.readTextFileSync(path).trim().split(" ");
}
