/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an iomap BPF program for a FUSE server needs: the types and numbers of the interface, and
 * macros that declare its programs. It stands alone: neither vmlinux.h nor the headers of libbpf
 * or libfuse have to be there. docs/bpf.md tells how to write a program with it.
 *
 * FUSE_IOMAP_BPF_GENERATION says for which kernel this is compiled; fuse4fs defines it:
 *   1  programs get a struct fuse_inode and do not sleep
 *   2  programs get an opaque struct fuse_bpf_inode, may sleep, and may call kernel functions
 * FUSE_IOMAP_BPF_KERNEL_TYPES is defined when vmlinux.h has the types already.
 */
#ifndef FUSE_IOMAP_BPF_H
#define FUSE_IOMAP_BPF_H

#ifndef FUSE_IOMAP_BPF_GENERATION
#define FUSE_IOMAP_BPF_GENERATION 2
#endif

#ifndef __VMLINUX_H__
typedef unsigned char u8, __u8, uint8_t;
typedef unsigned short u16, __u16, uint16_t;
typedef unsigned int u32, __u32, uint32_t;
typedef unsigned long long u64, __u64, uint64_t;
typedef signed char s8, __s8, int8_t;
typedef short s16, __s16, int16_t;
typedef int s32, __s32, int32_t;
typedef long long s64, __s64, int64_t;
typedef u16 __be16;
typedef u32 __be32, __wsum;
typedef u64 __be64;
#endif

#include <bpf/bpf_helpers.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

/* fuse_iomap_io.type: what a range of a file is. */
#define FUSE_IOMAP_TYPE_HOLE 0
#define FUSE_IOMAP_TYPE_DELALLOC 1
#define FUSE_IOMAP_TYPE_MAPPED 2
#define FUSE_IOMAP_TYPE_UNWRITTEN 3
#define FUSE_IOMAP_TYPE_INLINE 4
/* Do not remember this mapping; look again in what is remembered. */
#define FUSE_IOMAP_TYPE_NOCACHE 253
#define FUSE_IOMAP_TYPE_RETRY_CACHE 254
/* For fuse_iomap_begin_out.write: writes go where reads come from. */
#define FUSE_IOMAP_TYPE_PURE_OVERWRITE 255

/* fuse_iomap_io.dev and .addr of what is not on a device. */
#define FUSE_IOMAP_DEV_NULL 0U
#define FUSE_IOMAP_NULL_ADDR (~0ULL)

/* fuse_iomap_io.flags */
#define FUSE_IOMAP_F_NEW (1U << 0)
#define FUSE_IOMAP_F_DIRTY (1U << 1)
#define FUSE_IOMAP_F_SHARED (1U << 2)
#define FUSE_IOMAP_F_MERGED (1U << 3)
#define FUSE_IOMAP_F_BOUNDARY (1U << 4)
#define FUSE_IOMAP_F_ANON_WRITE (1U << 5)
#define FUSE_IOMAP_F_ATOMIC_BIO (1U << 6)
#define FUSE_IOMAP_F_WANT_IOMAP_END (1U << 7)
#define FUSE_IOMAP_F_SIZE_CHANGED (1U << 8)
#define FUSE_IOMAP_F_STALE (1U << 9)

/* opflags: what the kernel is about to do. A plain read has none. */
#define FUSE_IOMAP_OP_WRITE (1U << 0)
#define FUSE_IOMAP_OP_ZERO (1U << 1)
#define FUSE_IOMAP_OP_REPORT (1U << 2) /* FIEMAP, SEEK_DATA, SEEK_HOLE */
#define FUSE_IOMAP_OP_FAULT (1U << 3)
#define FUSE_IOMAP_OP_DIRECT (1U << 4)
#define FUSE_IOMAP_OP_NOWAIT (1U << 5)
#define FUSE_IOMAP_OP_OVERWRITE_ONLY (1U << 6)
#define FUSE_IOMAP_OP_UNSHARE (1U << 7)
#define FUSE_IOMAP_OP_DAX (1U << 8)
#define FUSE_IOMAP_OP_ATOMIC (1U << 9)
#define FUSE_IOMAP_OP_DONTCACHE (1U << 10)
#define FUSE_IOMAP_OP_SWAPFILE (1U << 30)
#define FUSE_IOMAP_OP_WRITEBACK (1U << 31)

/* ioendflags: what has been written. */
#define FUSE_IOMAP_IOEND_SHARED (1U << 0)
#define FUSE_IOMAP_IOEND_UNWRITTEN (1U << 1)
#define FUSE_IOMAP_IOEND_BOUNDARY (1U << 2)
#define FUSE_IOMAP_IOEND_DIRECT (1U << 3)
#define FUSE_IOMAP_IOEND_APPEND (1U << 4)
#define FUSE_IOMAP_IOEND_WRITEBACK (1U << 5)
#define FUSE_IOMAP_IOEND_SWAPOFF (1U << 6)

#ifndef FUSE_IOMAP_BPF_KERNEL_TYPES

/* What a program returns: FIB_FALLBACK has the kernel ask the server as if there were no program. */
enum fuse_iomap_bpf_ret {
	FIB_FALLBACK = 0,
	FIB_HANDLED = 1,
};

/* A range of a file, and where it is on the device. All are bytes. */
struct fuse_iomap_io {
	u64 offset;
	u64 length;
	u64 addr;
	u16 type;
	u16 flags;
	u32 dev;
};

struct fuse_iomap_begin_out {
	struct fuse_iomap_io read;
	struct fuse_iomap_io write;
};

struct fuse_iomap_ioend_out {
	u64 newsize;
};

/* A length of all ones reaches to the end of the file. */
struct fuse_range {
	u64 offset;
	u64 length;
};

#if FUSE_IOMAP_BPF_GENERATION == 1
struct fuse_inode;
#else
/* Nothing is known of it; but kernel functions are found only for a structure that is complete. */
struct fuse_bpf_inode {
};
#endif

#endif /* FUSE_IOMAP_BPF_KERNEL_TYPES */

#if FUSE_IOMAP_BPF_GENERATION == 1
#define FUSE_IOMAP_INODE struct fuse_inode
#define FUSE_IOMAP_SECTION(member) "struct_ops/" member
#else
#define FUSE_IOMAP_INODE struct fuse_bpf_inode
#define FUSE_IOMAP_SECTION(member) "struct_ops.s/" member
#endif

#ifndef FUSE_IOMAP_BPF_KERNEL_TYPES

struct fuse_iomap_bpf_ops {
	enum fuse_iomap_bpf_ret (*iomap_begin)(FUSE_IOMAP_INODE *inode, u64 pos, u64 count,
					       u32 opflags, struct fuse_iomap_begin_out *outarg);
	enum fuse_iomap_bpf_ret (*iomap_end)(FUSE_IOMAP_INODE *inode, u64 pos, u64 count,
					     s64 written, u32 opflags);
	enum fuse_iomap_bpf_ret (*iomap_ioend)(FUSE_IOMAP_INODE *inode, u64 pos, s64 written,
					       u32 ioendflags, int error, u32 dev, u64 new_addr,
					       struct fuse_iomap_ioend_out *outarg);
	int fuse_fd;
	u32 zeropad;
	char name[16];
};

#endif /* FUSE_IOMAP_BPF_KERNEL_TYPES */

/*
 * The number by which the server knows the file, and the one that stat(2) tells. In the second
 * generation these are kernel functions, and the mappings that the kernel remembers can be changed.
 */
#if FUSE_IOMAP_BPF_GENERATION == 1

/* Only the members that are read; libbpf finds out where this kernel has them. */
struct fuse_inode___fuse4fs {
	u64 nodeid;
	u64 orig_ino;
} __attribute__((preserve_access_index));

static inline u64 fuse_bpf_inode_nodeid(const struct fuse_inode *inode)
{
	return ((const struct fuse_inode___fuse4fs *)inode)->nodeid;
}

static inline u64 fuse_bpf_inode_orig_ino(const struct fuse_inode *inode)
{
	return ((const struct fuse_inode___fuse4fs *)inode)->orig_ino;
}

#else

extern u64 fuse_bpf_inode_nodeid(const struct fuse_bpf_inode *inode) __ksym;
extern u64 fuse_bpf_inode_orig_ino(const struct fuse_bpf_inode *inode) __ksym;

/* Either pointer may be NULL. */
extern int fuse_bpf_iomap_inval_mappings(struct fuse_bpf_inode *inode,
					 const struct fuse_range *read,
					 const struct fuse_range *write) __ksym;
extern int fuse_bpf_iomap_upsert_mappings(struct fuse_bpf_inode *inode,
					  const struct fuse_iomap_io *read,
					  const struct fuse_iomap_io *write) __ksym;

#endif

/* Completes an answer whose `read` is filled in: writes, if any, go to the same place. */
static inline void fuse_iomap_begin_pure_overwrite(struct fuse_iomap_begin_out *outarg)
{
	outarg->write.offset = outarg->read.offset;
	outarg->write.length = outarg->read.length;
	outarg->write.addr = FUSE_IOMAP_NULL_ADDR;
	outarg->write.type = FUSE_IOMAP_TYPE_PURE_OVERWRITE;
	outarg->write.flags = 0;
	outarg->write.dev = FUSE_IOMAP_DEV_NULL;
}

/*
 * Each declares a program and is followed by its body. The kernel passes arguments as an array of
 * 64-bit words; the parameters have the names of the interface.
 */
#define FUSE_IOMAP_BPF_PROGRAM(name, member, call, ...)                                          \
	static inline __attribute__((always_inline)) enum fuse_iomap_bpf_ret name##_body(__VA_ARGS__); \
	SEC(FUSE_IOMAP_SECTION(member))                                                          \
	int name(u64 *ctx)                                                                       \
	{                                                                                        \
		return name##_body call;                                                         \
	}                                                                                        \
	static inline __attribute__((always_inline)) enum fuse_iomap_bpf_ret name##_body(__VA_ARGS__)

/* Where is the data? Fill in *outarg and return FIB_HANDLED, or return FIB_FALLBACK. */
#define FUSE_IOMAP_BEGIN_BPF_FUNC(name)                                                          \
	FUSE_IOMAP_BPF_PROGRAM(name, "iomap_begin",                                              \
			       ((void *)ctx[0], ctx[1], ctx[2], ctx[3], (void *)ctx[4]),         \
			       FUSE_IOMAP_INODE *inode, u64 pos, u64 count, u32 opflags,         \
			       struct fuse_iomap_begin_out *outarg)

/* An operation that asked for a mapping is over; `written` is negative when it failed. */
#define FUSE_IOMAP_END_BPF_FUNC(name)                                                            \
	FUSE_IOMAP_BPF_PROGRAM(name, "iomap_end",                                                \
			       ((void *)ctx[0], ctx[1], ctx[2], ctx[3], ctx[4]),                 \
			       FUSE_IOMAP_INODE *inode, u64 pos, u64 count, s64 written,         \
			       u32 opflags)

/* Data has reached the device. Fill in *outarg and return FIB_HANDLED, or return FIB_FALLBACK. */
#define FUSE_IOMAP_IOEND_BPF_FUNC(name)                                                          \
	FUSE_IOMAP_BPF_PROGRAM(name, "iomap_ioend",                                              \
			       ((void *)ctx[0], ctx[1], ctx[2], ctx[3], ctx[4], ctx[5], ctx[6],  \
				(void *)ctx[7]),                                                 \
			       FUSE_IOMAP_INODE *inode, u64 pos, s64 written, u32 ioendflags,    \
			       int error, u32 dev, u64 new_addr,                                 \
			       struct fuse_iomap_ioend_out *outarg)

/* Ties the programs together; NULL for one that there is not. The label has 1 to 15 characters. */
#define DEFINE_FUSE_IOMAP_BPF_OPS(ops, label, begin, end, ioend)                                 \
	_Static_assert(sizeof(label) > 1 && sizeof(label) <= 16, "label: 1 to 15 characters");   \
	SEC(".struct_ops.link")                                                                  \
	struct fuse_iomap_bpf_ops ops = {                                                        \
		.iomap_begin = (void *)begin,                                                    \
		.iomap_end = (void *)end,                                                        \
		.iomap_ioend = (void *)ioend,                                                    \
		.name = label,                                                                   \
	}

/* The kernel gives much only to programs under the GPL. */
#define DECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF char LICENSE[] SEC("license") = "Dual BSD/GPL"

#endif /* FUSE_IOMAP_BPF_H */
