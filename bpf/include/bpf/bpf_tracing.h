/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stands for libbpf's header of this name where that is not installed, so that programs which
 * include it compile. The macros of fuse_iomap_bpf.h unpack arguments by themselves.
 */
#ifndef __BPF_TRACING_H__
#define __BPF_TRACING_H__
#endif /* __BPF_TRACING_H__ */
