/*
 * tree ROOT: prints what a mounted tree looks like to system calls, one line an object:
 *
 *     path <tab> fact=value <tab> fact=value ...
 *
 * Bytes of names and of link targets other than printable ASCII stand as %XX, and so does '%'
 * itself. A system call that failed stands as !ERRNO in place of its value. The line of the path
 * "%" is about the file system as a whole. Two implementations of one file system are the same
 * when their outputs are.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "type_letter.h"

#ifndef FS_IOC_GETFSUUID
struct fsuuid2 {
	__u8 len;
	__u8 uuid[16];
};
#define FS_IOC_GETFSUUID _IOR(0x15, 0, struct fsuuid2)
#endif

enum {
	CHUNK = 1 << 18,
	/* Holes and data longer than this are read at their ends only. */
	LONG_HOLE = 1 << 20,
	MAX_DATA = 1 << 28,
	SAMPLE = 1 << 16,
	/* Pieces of one file that are told apart by SEEK_DATA; the rest is read as one. */
	MAX_PIECES = 1500,
	SHOWN_PIECES = 12,
};

/* Inodes of several links that were described under their first name. */
static struct seen {
	ino_t ino;
	struct seen *next;
} *seen[4096];

static unsigned char buffer[CHUNK] __attribute__((aligned(8)));

static uint64_t mix(uint64_t position, uint64_t word)
{
	uint64_t h = (position + 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;

	h ^= word;
	h *= 0xc4ceb9fe1a85ec53u;
	return h ^ (h >> 32);
}

/*
 * Adds a piece of content to a sum that does not depend on how the content was cut: words of
 * zeros add nothing, so that a hole and written zeros are the same. Pieces start at multiples of 8.
 */
static uint64_t add_bytes(uint64_t sum, uint64_t position, const unsigned char *bytes, size_t length)
{
	for (size_t at = 0; at < length; at += 8) {
		uint64_t word = 0;

		memcpy(&word, bytes + at, length - at < 8 ? length - at : 8);
		if (word)
			sum += mix(position + at, word);
	}
	return sum;
}

static void print_escaped(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = bytes[i];

		if (c > ' ' && c < 0x7f && c != '%')
			putchar(c);
		else
			printf("%%%02X", c);
	}
}

static void print_error(const char *fact)
{
	printf("\t%s=!%s", fact, strerrorname_np(errno));
}

static void print_time(const char *fact, const struct statx_timestamp *time)
{
	printf("\t%s=%" PRId64 ".%09u", fact, (int64_t)time->tv_sec, time->tv_nsec);
}

static void print_stat(const struct statx *st)
{
	printf("\ttype=%c\tmode=%04o\tino=%" PRIu64 "\tnlink=%u\tuid=%u\tgid=%u",
	       type_letter(st->stx_mode), st->stx_mode & 07777, (uint64_t)st->stx_ino,
	       st->stx_nlink, st->stx_uid, st->stx_gid);
	printf("\tsize=%" PRIu64 "\tblocks=%" PRIu64 "\tblksize=%u", (uint64_t)st->stx_size,
	       (uint64_t)st->stx_blocks, st->stx_blksize);
	if (S_ISCHR(st->stx_mode) || S_ISBLK(st->stx_mode))
		printf("\trdev=%u:%u", st->stx_rdev_major, st->stx_rdev_minor);
	print_time("atime", &st->stx_atime);
	print_time("mtime", &st->stx_mtime);
	print_time("ctime", &st->stx_ctime);
	if (st->stx_mask & STATX_BTIME)
		print_time("btime", &st->stx_btime);
}

/* Sums up [from, to) of a file. Returns 0 and the errno in *error when a read fails. */
static uint64_t sum_range(int fd, off_t from, off_t to, uint64_t sum, int *error)
{
	while (from < to) {
		size_t want = to - from < CHUNK ? to - from : CHUNK;
		ssize_t got = pread(fd, buffer, want, from);

		if (got < 0) {
			*error = errno;
			return 0;
		}
		if (got == 0)
			break;
		/* A short read in the middle must not break the alignment of the words. */
		if (from + got < to && got % 8)
			got -= got % 8;
		sum = add_bytes(sum, from, buffer, got);
		from += got;
	}
	return sum;
}

/* A range longer than `most` is read at its ends only. */
static uint64_t sum_within(int fd, off_t from, off_t to, off_t most, uint64_t sum, int *error)
{
	if (to - from <= most)
		return sum_range(fd, from, to, sum, error);
	sum = sum_range(fd, from, from + SAMPLE, sum, error);
	return *error ? 0 : sum_range(fd, (to - SAMPLE) & ~7, to, sum, error);
}

/*
 * Where the data are (SEEK_DATA and SEEK_HOLE), and a sum over all content. All seeking comes
 * before the first read: ext4 takes cached pages of unwritten extents for data.
 */
static void print_content(int fd, off_t size)
{
	static struct {
		off_t data, hole;
	} piece[MAX_PIECES];
	uint64_t sum = 0, map = 0;
	off_t position = 0;
	int count = 0, error = 0;

	while (position < size && count < MAX_PIECES && !error) {
		off_t data = lseek(fd, position, SEEK_DATA), hole = -1;

		if (data < 0 && errno == ENXIO)
			break;
		if (data >= 0)
			hole = lseek(fd, data, SEEK_HOLE);
		/* The kernel finds data at times where the file has ended. */
		if (data >= 0 && hole < 0 && errno == ENXIO)
			break;
		if (hole < 0) {
			error = errno;
			break;
		}
		piece[count].data = data;
		piece[count].hole = hole;
		map += mix(data, hole);
		count++;
		position = hole;
	}
	position = 0;
	for (int i = 0; i < count && !error; i++) {
		sum = sum_within(fd, position & ~7, piece[i].data, LONG_HOLE, sum, &error);
		sum = sum_within(fd, piece[i].data & ~7, piece[i].hole, MAX_DATA, sum, &error);
		position = piece[i].hole;
	}
	if (!error && position < size)
		sum = sum_within(fd, position & ~7, size,
				 count < MAX_PIECES ? LONG_HOLE : MAX_DATA, sum, &error);
	if (error) {
		errno = error;
		print_error("data");
		return;
	}
	printf("\tdata=%016" PRIx64 "\tmap=%d:%016" PRIx64, sum, count, map);
	for (int i = 0; i < count && i < SHOWN_PIECES; i++)
		printf(",%jd-%jd", (intmax_t)piece[i].data, (intmax_t)piece[i].hole);
}

static void print_ioctls(int fd)
{
	unsigned long flags = 0, version = 0;
	struct fsxattr fsx = { 0 };

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		print_error("flags");
	else
		printf("\tflags=%08x", (unsigned)flags);
	if (ioctl(fd, FS_IOC_GETVERSION, &version) < 0)
		print_error("version");
	else
		printf("\tversion=%u", (unsigned)version);
	if (ioctl(fd, FS_IOC_FSGETXATTR, &fsx) < 0)
		print_error("xflags");
	else
		printf("\txflags=%08x\tprojid=%u", fsx.fsx_xflags, fsx.fsx_projid);
}

/* Path by which the system calls that follow no links reach an entry of an open directory. */
static const char *proc_path(int dir, const char *name)
{
	static char path[64 + 256];

	snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, name);
	return path;
}

static void print_xattrs(int dir, const char *name)
{
	static char names[65536];
	static unsigned char value[65536];
	ssize_t length = llistxattr(proc_path(dir, name), names, sizeof names);

	if (length < 0) {
		print_error("xattrs");
		return;
	}
	for (char *each = names; each < names + length; each += strlen(each) + 1) {
		ssize_t size = lgetxattr(proc_path(dir, name), each, value, sizeof value);

		printf("\txattr.");
		for (char *c = each; *c; c++)
			if (*c > ' ' && *c < 0x7f && *c != '%' && *c != '=')
				putchar(*c);
			else
				printf("%%%02X", (unsigned char)*c);
		if (size < 0)
			printf("=!%s", strerrorname_np(errno));
		else
			printf("=%zd:%016" PRIx64, size, add_bytes(0, 0, value, size));
	}
}

static int seen_before(ino_t ino)
{
	struct seen **slot = &seen[ino % 4096];

	for (struct seen *each = *slot; each; each = each->next)
		if (each->ino == ino)
			return 1;
	struct seen *added = malloc(sizeof *added);

	added->ino = ino;
	added->next = *slot;
	*slot = added;
	return 0;
}

static int is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static void walk(int dir, char *path, size_t length);

/* Describes dir/name; `path` ends in the name and has room for what is below it. */
static void describe(int dir, const char *name, unsigned char dtype, char *path, size_t length)
{
	struct statx st;
	int fd = -1;

	print_escaped(path, length);
	if (dtype != DT_UNKNOWN)
		printf("\tdtype=%c", type_letter(DTTOIF(dtype)));
	if (statx(dir, name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &st) < 0) {
		print_error("stat");
		putchar('\n');
		return;
	}
	if (!S_ISDIR(st.stx_mode) && st.stx_nlink > 1 && seen_before(st.stx_ino)) {
		printf("\tino=%" PRIu64 "\tnlink=%u\n", (uint64_t)st.stx_ino, st.stx_nlink);
		return;
	}
	print_stat(&st);
	print_xattrs(dir, name);
	if (S_ISLNK(st.stx_mode)) {
		char target[4097];
		ssize_t size = readlinkat(dir, name, target, sizeof target);

		if (size < 0) {
			print_error("target");
		} else {
			printf("\ttarget=");
			print_escaped(target, size);
		}
	}
	if (S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode)) {
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NOATIME);
		if (fd < 0)
			print_error(S_ISREG(st.stx_mode) ? "data" : "names");
		else
			print_ioctls(fd);
	}
	if (fd >= 0 && S_ISREG(st.stx_mode))
		print_content(fd, st.stx_size);
	if (fd >= 0 && S_ISDIR(st.stx_mode))
		walk(fd, path, length);
	else
		putchar('\n');
	if (fd >= 0)
		close(fd);
}

/* Ends the line of a directory with what it lists, and describes all that is in it. */
static void walk(int dir, char *path, size_t length)
{
	DIR *stream = fdopendir(dup(dir));
	struct dirent *entry;
	struct child {
		unsigned char type;
		uint64_t ino;
		char name[256];
	} *children = NULL;
	size_t count = 0, room = 0;
	uint64_t order = 0;

	errno = 0;
	while ((entry = readdir(stream))) {
		if (count == room) {
			room = room ? room * 2 : 64;
			children = realloc(children, room * sizeof *children);
		}
		children[count].type = entry->d_type;
		children[count].ino = entry->d_ino;
		strcpy(children[count].name, entry->d_name);
		/* The kernel sorts "." and ".." by their hashes as well, which nobody relies on. */
		if (!is_dot(entry->d_name))
			order = add_bytes(order * 31, 0, (unsigned char *)entry->d_name,
					  strlen(entry->d_name));
		count++;
		errno = 0;
	}
	if (errno)
		print_error("names");
	else
		printf("\tnames=%zu\torder=%016" PRIx64, count, order);
	for (size_t i = 0; i < count; i++)
		if (is_dot(children[i].name))
			printf("\td_ino%s=%" PRIu64, children[i].name, children[i].ino);
	putchar('\n');
	closedir(stream);
	for (size_t i = 0; i < count; i++) {
		const char *name = children[i].name;

		if (is_dot(name))
			continue;
		path[length] = '/';
		strcpy(path + length + 1, name);
		describe(dir, name, children[i].type, path, length + 1 + strlen(name));
	}
	free(children);
}

static void describe_file_system(int root)
{
	struct statfs st;
	char label[FSLABEL_MAX + 1] = "";
	struct fsuuid2 uuid = { 0 };

	putchar('%');
	if (fstatfs(root, &st) < 0)
		print_error("statfs");
	else
		printf("\tbsize=%ld\tfrsize=%ld\tblocks=%ju\tbfree=%ju\tbavail=%ju\tfiles=%ju\tffree=%ju\tnamelen=%ld",
		       (long)st.f_bsize, (long)st.f_frsize, (uintmax_t)st.f_blocks, (uintmax_t)st.f_bfree,
		       (uintmax_t)st.f_bavail, (uintmax_t)st.f_files, (uintmax_t)st.f_ffree, (long)st.f_namelen);
	if (ioctl(root, FS_IOC_GETFSLABEL, label) < 0) {
		print_error("label");
	} else {
		printf("\tlabel=");
		print_escaped(label, strlen(label));
	}
	if (ioctl(root, FS_IOC_GETFSUUID, &uuid) < 0) {
		print_error("uuid");
	} else {
		printf("\tuuid=");
		for (int i = 0; i < 16; i++)
			printf("%02x", uuid.uuid[i]);
	}
	putchar('\n');
}

int main(int argc, char **argv)
{
	/* Deep trees have long paths; nothing here needs them but the output. */
	static char path[1 << 20] = "";
	int root;

	if (argc != 2) {
		fprintf(stderr, "usage: tree ROOT\n");
		return 2;
	}
	root = open(argv[1], O_RDONLY | O_DIRECTORY);
	if (root < 0) {
		perror(argv[1]);
		return 1;
	}
	describe_file_system(root);
	describe(root, ".", DT_UNKNOWN, path, 0);
	return 0;
}
