// SPDX-License-Identifier: GPL-2.0
/*
 * Proof that programs of this kind work, and not for use: it makes up where the data of a file is.
 * FS_DEV and FS_BLOCK_SIZE are constants of the file system; fuse4fs puts them above this.
 */
#include <fuse_iomap_bpf.h>

DECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;

/* Where the made-up extents begin, in blocks of the device. */
#define FIRST_BLOCK 99
/* The last block of the file that is made up. */
#define LAST_FILE_BLOCK 16

FUSE_IOMAP_BEGIN_BPF_FUNC(demo_begin)
{
	if (!(opflags & FUSE_IOMAP_OP_REPORT) || pos > (u64)LAST_FILE_BLOCK * FS_BLOCK_SIZE)
		return FIB_FALLBACK;

	/* One block at a time, in turn mapped and unwritten. */
	outarg->read.offset = pos;
	outarg->read.length = FS_BLOCK_SIZE;
	outarg->read.type = FUSE_IOMAP_TYPE_MAPPED + (pos / FS_BLOCK_SIZE) % 2;
	outarg->read.dev = FS_DEV;
	outarg->read.addr = (u64)FIRST_BLOCK * FS_BLOCK_SIZE + pos;
	fuse_iomap_begin_pure_overwrite(outarg);
	return FIB_HANDLED;
}

DEFINE_FUSE_IOMAP_BPF_OPS(demo_ops, "fuse4fs_demo", demo_begin, NULL, NULL);
