// SPDX-License-Identifier: GPL-2.0
/*
 * Answers reads, FIEMAP and SEEK_DATA from extents that fuse4fs has put into maps; everything else,
 * and everything that is not there, goes to fuse4fs. src/bpf/extent_table.ts is the other side.
 *
 *	files: nodeid -> run        slots: ... | extent | extent | extent | ...
 *	                  `-- first, count ------^^^^^^^^^^^^^^^^^ by offset, without overlap
 *
 * fuse4fs writes the slots through a memory mapping while this reads them. A slot has a sequence
 * number: odd while the slot is written or means nothing, and never the same again afterwards. What
 * was copied between two reads of the same even number is one extent, whole and in force. The run
 * only tells where to look; it is the slot that counts, and it says itself whose it is.
 */
#include <fuse_iomap_bpf.h>

DECLARE_GPL2_LICENSE_FOR_FUSE_IOMAP_BPF;

/* Sizes are set when this is loaded; 2^SEARCH_STEPS slots can be searched. */
#define SEARCH_STEPS 17

struct extent_slot {
	u64 sequence;
	u64 nodeid;
	u64 offset;
	u64 length;
	u64 addr;
	u32 dev;
	u16 type;
	u16 flags;
};

struct extent_run {
	u32 first;
	u32 count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, struct extent_slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct extent_run);
} files SEC(".maps");

/* Operations that only ask. Writes must be known to the file system before they happen. */
#define ANSWERED \
	(FUSE_IOMAP_OP_REPORT | FUSE_IOMAP_OP_DIRECT | FUSE_IOMAP_OP_NOWAIT | FUSE_IOMAP_OP_DONTCACHE)

/* A read that nothing moves across: atomic operations with a result are full barriers in BPF. */
static __always_inline u64 read_sequence(struct extent_slot *slot)
{
	return __sync_fetch_and_add(&slot->sequence, 0);
}

/* The slot of the last extent that does not begin behind pos. */
static __always_inline struct extent_slot *find_slot(const struct extent_run *run, u64 pos)
{
	u32 low = run->first;
	u32 high = low + run->count;

	for (int step = 0; step < SEARCH_STEPS && high - low > 1; step++) {
		u32 middle = low + (high - low) / 2;
		struct extent_slot *slot = bpf_map_lookup_elem(&slots, &middle);

		if (!slot)
			return NULL;
		if (slot->offset <= pos)
			low = middle;
		else
			high = middle;
	}
	return bpf_map_lookup_elem(&slots, &low);
}

FUSE_IOMAP_BEGIN_BPF_FUNC(extents_begin)
{
	struct extent_slot extent;
	struct extent_slot *slot;
	struct extent_run *run;
	u64 nodeid, sequence;

	if (opflags & ~ANSWERED)
		return FIB_FALLBACK;

	nodeid = fuse_bpf_inode_nodeid(inode);
	run = bpf_map_lookup_elem(&files, &nodeid);
	if (!run)
		return FIB_FALLBACK;
	slot = find_slot(run, pos);
	if (!slot)
		return FIB_FALLBACK;

	sequence = read_sequence(slot);
	extent = *slot;
	if ((sequence & 1) || sequence == 0 || read_sequence(slot) != sequence)
		return FIB_FALLBACK;
	if (extent.nodeid != nodeid || pos < extent.offset || pos - extent.offset >= extent.length)
		return FIB_FALLBACK;

	outarg->read.offset = extent.offset;
	outarg->read.length = extent.length;
	outarg->read.addr = extent.addr;
	outarg->read.type = extent.type;
	outarg->read.flags = extent.flags;
	outarg->read.dev = extent.dev;
	fuse_iomap_begin_pure_overwrite(outarg);
	return FIB_HANDLED;
}

DEFINE_FUSE_IOMAP_BPF_OPS(extents_ops, "fuse4fs_extents", extents_begin, NULL, NULL);
