// SPDX-License-Identifier: GPL-2.0
/*
 * Answers that show which arguments came: for tests/bpf_vm_test.ts. The module's debugfs file
 * `call` sends the ones that are looked for here.
 */
#include <fuse_iomap_bpf.h>

DECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;

FUSE_IOMAP_BEGIN_BPF_FUNC(arguments_begin)
{
	outarg->read.offset = pos;
	outarg->read.length = count;
	outarg->read.addr = fuse_bpf_inode_nodeid(inode);
	outarg->read.type = FUSE_IOMAP_TYPE_MAPPED;
	outarg->read.dev = opflags;
	fuse_iomap_begin_pure_overwrite(outarg);
	return FIB_HANDLED;
}

FUSE_IOMAP_END_BPF_FUNC(arguments_end)
{
	if (pos != 11 * 4096 || count != 12 * 4096 || written != -5 || opflags != FUSE_IOMAP_OP_WRITE)
		return FIB_FALLBACK;
#if FUSE_IOMAP_BPF_GENERATION == 2
	struct fuse_range range = { .offset = pos, .length = count };
	struct fuse_iomap_io io = {
		.offset = pos,
		.length = count,
		.addr = FUSE_IOMAP_NULL_ADDR,
		.type = FUSE_IOMAP_TYPE_HOLE,
	};

	if (fuse_bpf_iomap_inval_mappings(inode, &range, NULL) ||
	    fuse_bpf_iomap_upsert_mappings(inode, &io, NULL))
		return FIB_FALLBACK;
#endif
	return FIB_HANDLED;
}

FUSE_IOMAP_IOEND_BPF_FUNC(arguments_ioend)
{
	if (ioendflags != FUSE_IOMAP_IOEND_UNWRITTEN || error != -28 || dev != 3)
		return FIB_FALLBACK;
	outarg->newsize = pos + written * 2 + new_addr * 3;
	return FIB_HANDLED;
}

DEFINE_FUSE_IOMAP_BPF_OPS(arguments_ops, "arguments", arguments_begin, arguments_end,
			  arguments_ioend);
