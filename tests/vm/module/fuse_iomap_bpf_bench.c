// SPDX-License-Identifier: GPL-2.0
/*
 * A test bench for iomap BPF programs on a stock kernel 6.12, which has no such interface. It
 * registers a struct_ops type of the interface's name and layout, so that programs go through the
 * real verifier and are attached to real FUSE connections, and it has the kernel ask them:
 *
 *   FIEMAP on a file of an attached connection    iomap_fiemap() -> iomap_begin, iomap_end
 *   a line written to DEBUGFS/fuse_iomap_bpf/call  begin, end or ioend with any arguments
 *
 * What a program leaves to the server is asked of it with FUSE_BMAP, where the mount is of the type
 * fuseblk; elsewhere it shows as a delayed allocation up to the end of the file.
 * It is NOT the interface of the RFC: nothing is read or written through it, and connections need
 * not have negotiated anything. It knows where 6.12 has a few members of FUSE's structures.
 *
 * GENERATION is 1 or 2, as FUSE_IOMAP_BPF_GENERATION in bpf/fuse_iomap_bpf.h.
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/debugfs.h>
#include <linux/fiemap.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iomap.h>
#include <linux/kprobes.h>
#include <linux/magic.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/srcu.h>

/* ---- The interface ---- */

enum fuse_iomap_bpf_ret {
	FIB_FALLBACK = 0,
	FIB_HANDLED = 1,
};

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

struct fuse_range {
	u64 offset;
	u64 length;
};

/* The members that FUSE's own structure begins with. */
struct fuse_inode {
	struct inode inode;
	u64 nodeid;
	u64 nlookup;
};

struct fuse_bpf_inode {
};

#if GENERATION == 1
#define INODE struct fuse_inode
#else
#define INODE struct fuse_bpf_inode
#endif

struct fuse_iomap_bpf_ops {
	enum fuse_iomap_bpf_ret (*iomap_begin)(INODE *inode, u64 pos, u64 count, u32 opflags,
					       struct fuse_iomap_begin_out *outarg);
	enum fuse_iomap_bpf_ret (*iomap_end)(INODE *inode, u64 pos, u64 count, s64 written,
					     u32 opflags);
	enum fuse_iomap_bpf_ret (*iomap_ioend)(INODE *inode, u64 pos, s64 written,
					       u32 ioendflags, int error, u32 dev, u64 new_addr,
					       struct fuse_iomap_ioend_out *outarg);
	int fuse_fd;
	u32 zeropad;
	char name[16];
};

/*
 * On x86 this kernel's trampolines read arguments on the stack, the seventh and later, one slot too
 * high. A dummy before them puts them where they are looked for.
 */
typedef enum fuse_iomap_bpf_ret (*ioend_call_t)(INODE *inode, u64 pos, s64 written,
						u32 ioendflags, int error, u32 dev, u64 dummy,
						u64 new_addr,
						struct fuse_iomap_ioend_out *outarg);

static enum fuse_iomap_bpf_ret begin_stub(INODE *inode, u64 pos, u64 count, u32 opflags,
					  struct fuse_iomap_begin_out *outarg)
{
	return FIB_FALLBACK;
}

static enum fuse_iomap_bpf_ret end_stub(INODE *inode, u64 pos, u64 count, s64 written,
					u32 opflags)
{
	return FIB_FALLBACK;
}

static enum fuse_iomap_bpf_ret ioend_stub(INODE *inode, u64 pos, s64 written, u32 ioendflags,
					  int error, u32 dev, u64 new_addr,
					  struct fuse_iomap_ioend_out *outarg)
{
	return FIB_FALLBACK;
}

static struct fuse_iomap_bpf_ops stubs = {
	.iomap_begin = begin_stub,
	.iomap_end = end_stub,
	.iomap_ioend = ioend_stub,
};

/* ---- Connections ---- */

#define MAX_ATTACHED 16

struct attachment {
	/* FUSE's struct fuse_conn, as an identity. */
	void *connection;
	struct fuse_iomap_bpf_ops *ops;
};

static struct attachment attached[MAX_ATTACHED];
static DEFINE_MUTEX(attached_lock);
DEFINE_STATIC_SRCU(running);

static atomic64_t begin_calls, end_calls, ioend_calls, handled_calls, kfunc_calls, server_calls;

/* Declared in FUSE's own header, which is not installed. */
extern const struct file_operations fuse_dev_operations;

/* The connection of an inode, or NULL: struct fuse_mount begins with a pointer to it. */
static void *connection_of(const struct inode *inode)
{
	if (inode->i_sb->s_magic != FUSE_SUPER_MAGIC || !inode->i_sb->s_fs_info)
		return NULL;
	return *(void **)inode->i_sb->s_fs_info;
}

/* Between srcu_read_lock and srcu_read_unlock. */
static struct fuse_iomap_bpf_ops *ops_of(const struct inode *inode)
{
	void *connection = connection_of(inode);
	int i;

	for (i = 0; connection && i < MAX_ATTACHED; i++) {
		if (READ_ONCE(attached[i].connection) == connection)
			return READ_ONCE(attached[i].ops);
	}
	return NULL;
}

static int attach(void *connection, struct fuse_iomap_bpf_ops *ops)
{
	struct attachment *free = NULL;
	int error = 0;
	int i;

	mutex_lock(&attached_lock);
	for (i = 0; i < MAX_ATTACHED; i++) {
		if (attached[i].connection == connection)
			error = -EBUSY;
		if (!attached[i].connection)
			free = &attached[i];
	}
	if (!error && !free)
		error = -ENOSPC;
	if (!error) {
		WRITE_ONCE(free->ops, ops);
		smp_store_release(&free->connection, connection);
	}
	mutex_unlock(&attached_lock);
	return error;
}

static int reg(void *kdata, struct bpf_link *link)
{
	struct fuse_iomap_bpf_ops *ops = kdata;
	struct file *file;
	void *device;
	int error;

	file = fget(ops->fuse_fd);
	if (!file)
		return -EBADF;
	/* struct fuse_dev begins with a pointer to the connection; there is none before the mount. */
	device = file->private_data;
	if (file->f_op != &fuse_dev_operations || !device || !*(void **)device)
		error = -EBADF;
	else
		error = attach(*(void **)device, ops);
	fput(file);
	return error;
}

static void unreg(void *kdata, struct bpf_link *link)
{
	int i;

	mutex_lock(&attached_lock);
	for (i = 0; i < MAX_ATTACHED; i++) {
		if (attached[i].ops == kdata) {
			WRITE_ONCE(attached[i].connection, NULL);
			WRITE_ONCE(attached[i].ops, NULL);
		}
	}
	mutex_unlock(&attached_lock);
	synchronize_srcu(&running);
}

/* ---- The struct_ops type ---- */

BTF_ID_LIST(out_ids)
BTF_ID(struct, fuse_iomap_begin_out)
BTF_ID(struct, fuse_iomap_ioend_out)

static bool is_valid_access(int off, int size, enum bpf_access_type type,
			    const struct bpf_prog *prog, struct bpf_insn_access_aux *info)
{
	return bpf_tracing_btf_ctx_access(off, size, type, prog, info);
}

/* Which writes a program may do: the verifier asks for no others. */
static int btf_write_access(struct bpf_verifier_log *log, const struct bpf_reg_state *reg,
			    int off, int size)
{
	int end = 0;

	if (reg->btf_id == out_ids[0])
		end = sizeof(struct fuse_iomap_begin_out);
	else if (reg->btf_id == out_ids[1])
		end = sizeof(struct fuse_iomap_ioend_out);
	if (off < 0 || off + size > end) {
		bpf_log(log, "only the answer may be written to, off %d size %d\n", off, size);
		return -EACCES;
	}
	return 0;
}

static const struct bpf_verifier_ops verifier_ops = {
	.get_func_proto = bpf_base_func_proto,
	.is_valid_access = is_valid_access,
	.btf_struct_access = btf_write_access,
};

static int init(struct btf *btf)
{
	return 0;
}

static int init_member(const struct btf_type *type, const struct btf_member *member, void *kdata,
		       const void *udata)
{
	const struct fuse_iomap_bpf_ops *given = udata;
	struct fuse_iomap_bpf_ops *ops = kdata;

	switch (__btf_member_bit_offset(type, member) / 8) {
	case offsetof(struct fuse_iomap_bpf_ops, fuse_fd):
		ops->fuse_fd = given->fuse_fd;
		return 1;
	case offsetof(struct fuse_iomap_bpf_ops, zeropad):
		return given->zeropad ? -EINVAL : 1;
	case offsetof(struct fuse_iomap_bpf_ops, name):
		return strscpy(ops->name, given->name, sizeof(ops->name)) > 0 ? 1 : -EINVAL;
	}
	return 0;
}

static int check_member(const struct btf_type *type, const struct btf_member *member,
			const struct bpf_prog *prog)
{
	/* The first generation does not let programs sleep. */
	return GENERATION == 1 && prog->sleepable ? -EINVAL : 0;
}

static struct bpf_struct_ops struct_ops = {
	.verifier_ops = &verifier_ops,
	.init = init,
	.check_member = check_member,
	.init_member = init_member,
	.reg = reg,
	.unreg = unreg,
	.cfi_stubs = &stubs,
	.owner = THIS_MODULE,
	.name = "fuse_iomap_bpf_ops",
};

/* ---- Kernel functions of the second generation ---- */

#if GENERATION == 2

__bpf_kfunc_start_defs();

__bpf_kfunc u64 fuse_bpf_inode_nodeid(const struct fuse_bpf_inode *inode)
{
	return ((const struct fuse_inode *)inode)->nodeid;
}

__bpf_kfunc u64 fuse_bpf_inode_orig_ino(const struct fuse_bpf_inode *inode)
{
	return ((const struct fuse_inode *)inode)->inode.i_ino;
}

__bpf_kfunc int fuse_bpf_iomap_inval_mappings(struct fuse_bpf_inode *inode,
					      const struct fuse_range *read__nullable,
					      const struct fuse_range *write__nullable)
{
	atomic64_inc(&kfunc_calls);
	return 0;
}

__bpf_kfunc int fuse_bpf_iomap_upsert_mappings(struct fuse_bpf_inode *inode,
					       const struct fuse_iomap_io *read__nullable,
					       const struct fuse_iomap_io *write__nullable)
{
	atomic64_inc(&kfunc_calls);
	return 0;
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(kfunc_ids)
BTF_ID_FLAGS(func, fuse_bpf_inode_nodeid, KF_TRUSTED_ARGS)
BTF_ID_FLAGS(func, fuse_bpf_inode_orig_ino, KF_TRUSTED_ARGS)
BTF_ID_FLAGS(func, fuse_bpf_iomap_inval_mappings, KF_SLEEPABLE)
BTF_ID_FLAGS(func, fuse_bpf_iomap_upsert_mappings, KF_SLEEPABLE)
BTF_KFUNCS_END(kfunc_ids)

static const struct btf_kfunc_id_set kfuncs = {
	.owner = THIS_MODULE,
	.set = &kfunc_ids,
};

#endif

/* ---- Calling the programs ---- */

static enum fuse_iomap_bpf_ret call_begin(struct inode *inode, u64 pos, u64 count, u32 opflags,
					  struct fuse_iomap_begin_out *out)
{
	enum fuse_iomap_bpf_ret ret = FIB_FALLBACK;
	struct fuse_iomap_bpf_ops *ops;
	int index;

	memset(out, 0, sizeof(*out));
	index = srcu_read_lock(&running);
	ops = ops_of(inode);
	if (ops && ops->iomap_begin) {
		atomic64_inc(&begin_calls);
		ret = ops->iomap_begin((INODE *)inode, pos, count, opflags, out);
	}
	srcu_read_unlock(&running, index);
	if (ret == FIB_HANDLED)
		atomic64_inc(&handled_calls);
	return ret;
}

static enum fuse_iomap_bpf_ret call_end(struct inode *inode, u64 pos, u64 count, s64 written,
					u32 opflags)
{
	enum fuse_iomap_bpf_ret ret = FIB_FALLBACK;
	struct fuse_iomap_bpf_ops *ops;
	int index;

	index = srcu_read_lock(&running);
	ops = ops_of(inode);
	if (ops && ops->iomap_end) {
		atomic64_inc(&end_calls);
		ret = ops->iomap_end((INODE *)inode, pos, count, written, opflags);
	}
	srcu_read_unlock(&running, index);
	return ret;
}

static enum fuse_iomap_bpf_ret call_ioend(struct inode *inode, u64 pos, s64 written, u32 flags,
					  int error, u32 dev, u64 new_addr,
					  struct fuse_iomap_ioend_out *out)
{
	enum fuse_iomap_bpf_ret ret = FIB_FALLBACK;
	struct fuse_iomap_bpf_ops *ops;
	int index;

	memset(out, 0, sizeof(*out));
	index = srcu_read_lock(&running);
	ops = ops_of(inode);
	if (ops && ops->iomap_ioend) {
		atomic64_inc(&ioend_calls);
		ret = ((ioend_call_t)(void *)ops->iomap_ioend)((INODE *)inode, pos, written, flags,
							       error, dev, 0, new_addr, out);
	}
	srcu_read_unlock(&running, index);
	return ret;
}

/* ---- FIEMAP ---- */

/* Blocks of one answer at most: the server is asked for each. */
#define MOST_BLOCKS 1024

/* Where the kernel of the RFC would send IOMAP_BEGIN: FUSE_BMAP, which is of single blocks. */
static int ask_server(struct inode *inode, loff_t pos, loff_t end, struct iomap *iomap)
{
	unsigned int bits = inode->i_blkbits;
	sector_t first_block = pos >> bits;
	sector_t first = first_block, next;
	u64 count = 1;
	int error;

	error = bmap(inode, &first);
	if (error)
		return error;
	atomic64_inc(&server_calls);
	while (count < MOST_BLOCKS && ((first_block + count) << bits) < end) {
		next = first_block + count;
		error = bmap(inode, &next);
		if (error)
			return error;
		atomic64_inc(&server_calls);
		if (next != (first ? first + count : 0))
			break;
		count++;
	}
	iomap->offset = (u64)first_block << bits;
	iomap->length = count << bits;
	iomap->type = first ? IOMAP_MAPPED : IOMAP_HOLE;
	iomap->addr = first ? (u64)first << bits : IOMAP_NULL_ADDR;
	return 0;
}

static int iomap_begin(struct inode *inode, loff_t pos, loff_t length, unsigned int flags,
		       struct iomap *iomap, struct iomap *srcmap)
{
	struct fuse_iomap_begin_out out;
	loff_t size = i_size_read(inode);

	if (call_begin(inode, pos, length, flags, &out) == FIB_HANDLED) {
		if (out.read.offset > pos || out.read.offset + out.read.length <= pos)
			return -EIO;
		iomap->offset = out.read.offset;
		iomap->length = out.read.length;
		iomap->addr = out.read.addr;
		iomap->type = out.read.type;
		iomap->flags = out.read.flags & (IOMAP_F_SHARED | IOMAP_F_MERGED);
		return 0;
	}
	if (pos < size && inode->i_sb->s_bdev)
		return ask_server(inode, pos, length < size - pos ? pos + length : size, iomap);
	iomap->offset = pos;
	iomap->addr = IOMAP_NULL_ADDR;
	iomap->type = pos < size ? IOMAP_DELALLOC : IOMAP_HOLE;
	iomap->length = pos < size ? size - pos : (1LL << 62);
	return 0;
}

static int iomap_end(struct inode *inode, loff_t pos, loff_t length, ssize_t written,
		     unsigned int flags, struct iomap *iomap)
{
	call_end(inode, pos, length, written, flags);
	return 0;
}

static const struct iomap_ops bench_iomap_ops = {
	.iomap_begin = iomap_begin,
	.iomap_end = iomap_end,
};

static int fiemap(struct inode *inode, struct fiemap_extent_info *info, u64 start, u64 length)
{
	bool is_attached;
	int index;

	index = srcu_read_lock(&running);
	is_attached = ops_of(inode);
	srcu_read_unlock(&running, index);
	return is_attached ? iomap_fiemap(inode, info, start, length, &bench_iomap_ops)
			   : -EOPNOTSUPP;
}

/* FUSE's operations of files, and the same with FIEMAP. Inodes keep it: the module stays. */
static const struct inode_operations *fuse_operations;
static struct inode_operations operations_with_fiemap;
static DEFINE_SPINLOCK(operations_lock);

static void give_fiemap(struct inode *inode)
{
	unsigned long flags;

	spin_lock_irqsave(&operations_lock, flags);
	if (!fuse_operations) {
		fuse_operations = inode->i_op;
		operations_with_fiemap = *inode->i_op;
		operations_with_fiemap.fiemap = fiemap;
	}
	if (inode->i_op == fuse_operations)
		inode->i_op = &operations_with_fiemap;
	spin_unlock_irqrestore(&operations_lock, flags);
}

/* security_file_ioctl(file, command, argument): before the kernel looks for an implementation. */
static int before_ioctl(struct kprobe *probe, struct pt_regs *regs)
{
	struct file *file = (struct file *)regs->di;
	unsigned int command = regs->si;

	if (command == FS_IOC_FIEMAP && S_ISREG(file_inode(file)->i_mode) &&
	    ops_of(file_inode(file)))
		give_fiemap(file_inode(file));
	return 0;
}

static struct kprobe ioctl_probe = {
	.symbol_name = "security_file_ioctl",
	.pre_handler = before_ioctl,
};

/* ---- Calls with any arguments, by way of debugfs ---- */

static struct dentry *folder;
static char last_result[256];
static DEFINE_MUTEX(call_lock);

static int call_on(struct inode *inode, const char *line)
{
	struct fuse_iomap_begin_out begin;
	struct fuse_iomap_ioend_out ioend;
	u64 pos, count, new_addr;
	u32 flags, dev;
	s64 written;
	int error;

	if (sscanf(line, "begin %*d %llu %llu %u", &pos, &count, &flags) == 3) {
		int ret = call_begin(inode, pos, count, flags, &begin);

		scnprintf(last_result, sizeof(last_result), "%d %llu %llu %llu %u %u %u %u\n", ret,
			  begin.read.offset, begin.read.length, begin.read.addr, begin.read.type,
			  begin.read.flags, begin.read.dev, begin.write.type);
	} else if (sscanf(line, "end %*d %llu %llu %lld %u", &pos, &count, &written, &flags) == 4) {
		scnprintf(last_result, sizeof(last_result), "%d\n",
			  call_end(inode, pos, count, written, flags));
	} else if (sscanf(line, "ioend %*d %llu %lld %u %d %u %llu", &pos, &written, &flags, &error,
			  &dev, &new_addr) == 6) {
		int ret = call_ioend(inode, pos, written, flags, error, dev, new_addr, &ioend);

		scnprintf(last_result, sizeof(last_result), "%d %llu\n", ret, ioend.newsize);
	} else {
		return -EINVAL;
	}
	return 0;
}

/*
 * The second word of a line is an open descriptor of the writer:
 *	begin FD POS COUNT OPFLAGS
 *	end FD POS COUNT WRITTEN OPFLAGS
 *	ioend FD POS WRITTEN IOENDFLAGS ERROR DEV NEW_ADDR
 * Reading gives the result of the last one.
 */
static ssize_t call_write(struct file *file, const char __user *text, size_t length, loff_t *pos)
{
	char line[256] = "";
	struct file *target;
	int fd, error;

	if (length >= sizeof(line) || copy_from_user(line, text, length))
		return -EINVAL;
	if (sscanf(line, "%*s %d", &fd) != 1)
		return -EINVAL;
	target = fget(fd);
	if (!target)
		return -EBADF;
	mutex_lock(&call_lock);
	error = call_on(file_inode(target), line);
	mutex_unlock(&call_lock);
	fput(target);
	return error ?: length;
}

static ssize_t call_read(struct file *file, char __user *text, size_t length, loff_t *pos)
{
	ssize_t count;

	mutex_lock(&call_lock);
	count = simple_read_from_buffer(text, length, pos, last_result, strlen(last_result));
	mutex_unlock(&call_lock);
	return count;
}

static const struct file_operations call_operations = {
	.owner = THIS_MODULE,
	.read = call_read,
	.write = call_write,
};

static int state_show(struct seq_file *state, void *unused)
{
	int i, count = 0;

	mutex_lock(&attached_lock);
	for (i = 0; i < MAX_ATTACHED; i++) {
		if (!attached[i].ops)
			continue;
		seq_printf(state, "program %s\n", attached[i].ops->name);
		count++;
	}
	mutex_unlock(&attached_lock);
	seq_printf(state, "attached %d\nbegin %lld\nend %lld\nioend %lld\nhandled %lld\nkfunc %lld\nserver %lld\n",
		   count, atomic64_read(&begin_calls), atomic64_read(&end_calls),
		   atomic64_read(&ioend_calls), atomic64_read(&handled_calls),
		   atomic64_read(&kfunc_calls), atomic64_read(&server_calls));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

/* ---- The module ---- */

static int __init bench_init(void)
{
	int error;

#if GENERATION == 2
	error = register_btf_kfunc_id_set(BPF_PROG_TYPE_STRUCT_OPS, &kfuncs);
	if (error)
		return error;
#endif
	error = register_bpf_struct_ops(&struct_ops, fuse_iomap_bpf_ops);
	if (error)
		return error;
	error = register_kprobe(&ioctl_probe);
	if (error)
		return error;
	folder = debugfs_create_dir("fuse_iomap_bpf", NULL);
	debugfs_create_file("call", 0600, folder, NULL, &call_operations);
	debugfs_create_file("state", 0400, folder, NULL, &state_fops);
	return 0;
}
module_init(bench_init);

/* Without an exit function it stays: inodes point to its operations. */
MODULE_DESCRIPTION("Test bench for FUSE iomap BPF programs");
MODULE_LICENSE("GPL");
