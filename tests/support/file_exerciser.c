/*
 * file_exerciser FOLDER SEED COUNT BLOCKSIZE COPIES: does COUNT random things to the content of two
 * files in FOLDER, in all the ways that content can be read and changed, and compares what is read
 * with what should be there, which it keeps in memory. In the end it writes that to COPIES/0 and
 * COPIES/1, for others to compare, and prints how often each thing was done, and in a second line
 * what the file system does not support.
 *
 * Whatever is not as it should be ends it with code 1, and with what was done last.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pattern.h"

enum {
	MOST = 768 << 10, /* size of a file */
	LONGEST = 96 << 10,
	PAGE = 4096,
	REMEMBERED = 24,
	NOTHING_TO_DO = -1,
};

struct file {
	char path[4096];
	int fd;
	off_t size;
	unsigned char content[MOST];
};

static struct file files[2];
static unsigned char buffer[MOST + PAGE] __attribute__((aligned(PAGE)));
static char history[REMEMBERED][128];
static long done;
static off_t block_size;
static uint64_t state;

static uint32_t chance(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state >> 16;
}

static off_t below(off_t limit)
{
	return limit > 0 ? chance() % limit : 0;
}

static void remember(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(history[done % REMEMBERED], sizeof *history, format, arguments);
	va_end(arguments);
}

static void fail(const char *format, ...)
{
	va_list arguments;

	for (long i = done < REMEMBERED ? 0 : done - REMEMBERED + 1; i <= done; i++)
		fprintf(stderr, "%8ld %s\n", i, history[i % REMEMBERED]);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

/* Bytes that were read must be those that are kept, and behind the end of the file zeros. */
static void expect(const struct file *file, const unsigned char *bytes, off_t at, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char wanted = at + (off_t)i < file->size ? file->content[at + i] : 0;

		if (bytes[i] != wanted)
			fail("%s: byte %jd of %jd is 0x%02x instead of 0x%02x, in a read of %zu at %jd",
			     file->path, (intmax_t)(at + i), (intmax_t)file->size, bytes[i], wanted, length,
			     (intmax_t)at);
	}
}

static void expect_size(const struct file *file)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		fail("fstat: %s", strerrorname_np(errno));
	if (st.st_size != file->size)
		fail("%s has %jd bytes instead of %jd", file->path, (intmax_t)st.st_size,
		     (intmax_t)file->size);
}

static void open_file(struct file *file, int flags)
{
	file->fd = open(file->path, O_RDWR | flags, 0644);
	if (file->fd < 0)
		fail("open: %s", strerrorname_np(errno));
}

/* The file has a new size; what was not there before is zeros. */
static void resize(struct file *file, off_t size)
{
	if (size > file->size)
		memset(file->content + file->size, 0, size - file->size);
	file->size = size;
}

/* A range inside of what a file may become. Many begin or end where a block does. */
static void choose_range(off_t *at, off_t *length)
{
	*at = below(MOST);
	*length = 1 + below(chance() % 4 ? LONGEST / 8 : LONGEST);
	if (chance() % 4 == 0)
		*at -= *at % block_size;
	if (chance() % 4 == 0)
		*length = (*length / block_size + 1) * block_size;
	if (*at + *length > MOST)
		*length = MOST - *at;
}

/* ---------------------------------------------------------------- reading */

static int read_some(struct file *file)
{
	off_t at, length;
	ssize_t got, wanted;

	choose_range(&at, &length);
	remember("%s: read %jd at %jd", file->path, (intmax_t)length, (intmax_t)at);
	got = pread(file->fd, buffer, length, at);
	wanted = at >= file->size ? 0 : at + length > file->size ? file->size - at : length;
	if (got != wanted)
		fail("read %zd instead of %zd: %s", got, wanted, got < 0 ? strerrorname_np(errno) : "");
	expect(file, buffer, at, got);
	return 0;
}

static int map_read(struct file *file)
{
	off_t at, length, start;
	unsigned char *map;

	choose_range(&at, &length);
	if (at >= file->size)
		return NOTHING_TO_DO;
	/* The last page that the file has can be read to its end, where there are zeros. */
	if (at + length > file->size)
		length = (file->size + PAGE - 1) / PAGE * PAGE - at;
	start = at / PAGE * PAGE;
	remember("%s: map and read %jd at %jd", file->path, (intmax_t)length, (intmax_t)at);
	map = mmap(NULL, at - start + length, PROT_READ, MAP_SHARED, file->fd, start);
	if (map == MAP_FAILED)
		fail("mmap: %s", strerrorname_np(errno));
	expect(file, map + (at - start), at, length);
	munmap(map, at - start + length);
	return 0;
}

static int direct_read(struct file *file)
{
	off_t at = below(MOST) / PAGE * PAGE;
	size_t length = (1 + below(LONGEST / PAGE)) * PAGE;
	int fd = open(file->path, O_RDONLY | O_DIRECT);
	ssize_t got, wanted = at >= file->size ? 0 : file->size - at;

	if (fd < 0)
		return errno;
	if (wanted > (ssize_t)length)
		wanted = length;
	remember("%s: read %zu at %jd directly", file->path, length, (intmax_t)at);
	got = pread(fd, buffer, length, at);
	if (got != wanted)
		fail("read %zd instead of %zd: %s", got, wanted, got < 0 ? strerrorname_np(errno) : "");
	expect(file, buffer, at, got);
	close(fd);
	return 0;
}

/* ---------------------------------------------------------------- writing */

static void wrote(struct file *file, off_t at, size_t length)
{
	if (at + (off_t)length > file->size)
		resize(file, at + length);
	memcpy(file->content + at, buffer, length);
}

static int write_some(struct file *file)
{
	off_t at, length;

	choose_range(&at, &length);
	remember("%s: write %jd at %jd of %jd", file->path, (intmax_t)length, (intmax_t)at,
		 (intmax_t)file->size);
	fill_pattern(buffer, length, done, at);
	if (pwrite(file->fd, buffer, length, at) != length)
		fail("write: %s", strerrorname_np(errno));
	wrote(file, at, length);
	return 0;
}

static int append(struct file *file)
{
	int fd = open(file->path, O_WRONLY | O_APPEND);
	off_t length = 1 + below(chance() % 2 ? 200 : LONGEST / 4), at = file->size;

	if (at + length > MOST)
		length = MOST - at;
	remember("%s: append %jd to %jd", file->path, (intmax_t)length, (intmax_t)at);
	fill_pattern(buffer, length, done, at);
	if (write(fd, buffer, length) != length)
		fail("write: %s", strerrorname_np(errno));
	wrote(file, at, length);
	close(fd);
	return 0;
}

static int map_write(struct file *file)
{
	off_t at, length, start;
	unsigned char *map;

	choose_range(&at, &length);
	if (at >= file->size)
		return NOTHING_TO_DO;
	if (at + length > file->size)
		length = file->size - at;
	start = at / PAGE * PAGE;
	remember("%s: map and write %jd at %jd", file->path, (intmax_t)length, (intmax_t)at);
	map = mmap(NULL, at - start + length, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, start);
	if (map == MAP_FAILED)
		fail("mmap: %s", strerrorname_np(errno));
	fill_pattern(buffer, length, done, at);
	memcpy(map + (at - start), buffer, length);
	if (chance() % 8 == 0 && msync(map, at - start + length, MS_SYNC) < 0)
		fail("msync: %s", strerrorname_np(errno));
	munmap(map, at - start + length);
	wrote(file, at, length);
	return 0;
}

static int direct_write(struct file *file)
{
	off_t at = below(MOST) / PAGE * PAGE;
	size_t length = (1 + below(LONGEST / PAGE)) * PAGE;
	int fd = open(file->path, O_WRONLY | O_DIRECT);

	if (fd < 0)
		return errno;
	if (at + (off_t)length > MOST)
		length = MOST - at;
	remember("%s: write %zu at %jd directly", file->path, length, (intmax_t)at);
	fill_pattern(buffer, length, done, at);
	if (pwrite(fd, buffer, length, at) != (ssize_t)length)
		fail("write: %s", strerrorname_np(errno));
	wrote(file, at, length);
	close(fd);
	return 0;
}

static int truncate_some(struct file *file)
{
	off_t size = chance() % 8 ? below(MOST + 1) : below(200);

	if (chance() % 4 == 0)
		size -= size % block_size;
	remember("%s: truncate from %jd to %jd", file->path, (intmax_t)file->size, (intmax_t)size);
	if (ftruncate(file->fd, size) < 0)
		fail("ftruncate: %s", strerrorname_np(errno));
	resize(file, size);
	return 0;
}

/* ---------------------------------------------------------------- fallocate and copying */

static int fallocate_range(struct file *file, int mode, const char *name, off_t at, off_t length)
{
	remember("%s: %s %jd at %jd of %jd", file->path, name, (intmax_t)length, (intmax_t)at,
		 (intmax_t)file->size);
	if (fallocate(file->fd, mode, at, length) == 0)
		return 0;
	if (errno != EOPNOTSUPP)
		fail("fallocate: %s", strerrorname_np(errno));
	return errno;
}

static int allocate(struct file *file)
{
	int keep = chance() % 2 ? FALLOC_FL_KEEP_SIZE : 0, error;
	off_t at, length;

	choose_range(&at, &length);
	error = fallocate_range(file, keep, "allocate", at, length);
	if (!error && !keep && at + length > file->size)
		resize(file, at + length);
	return error;
}

/* Zeros what there is of a range. */
static void clear(struct file *file, off_t at, off_t length)
{
	off_t end = at + length < file->size ? at + length : file->size;

	if (at < end)
		memset(file->content + at, 0, end - at);
}

static int punch(struct file *file)
{
	off_t at, length;
	int error;

	choose_range(&at, &length);
	error = fallocate_range(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch", at, length);
	if (!error)
		clear(file, at, length);
	return error;
}

static int zero(struct file *file)
{
	int keep = chance() % 2 ? FALLOC_FL_KEEP_SIZE : 0, error;
	off_t at, length;

	choose_range(&at, &length);
	error = fallocate_range(file, FALLOC_FL_ZERO_RANGE | keep, "zero", at, length);
	if (error)
		return error;
	if (!keep && at + length > file->size)
		resize(file, at + length);
	clear(file, at, length);
	return 0;
}

static int collapse(struct file *file)
{
	off_t at = below(file->size) / block_size * block_size;
	off_t length = (1 + below(LONGEST / block_size / 4)) * block_size;
	int error;

	if (at + length >= file->size)
		return NOTHING_TO_DO;
	error = fallocate_range(file, FALLOC_FL_COLLAPSE_RANGE, "collapse", at, length);
	if (error)
		return error;
	memmove(file->content + at, file->content + at + length, file->size - at - length);
	file->size -= length;
	return 0;
}

static int insert(struct file *file)
{
	off_t at = below(file->size) / block_size * block_size;
	off_t length = (1 + below(LONGEST / block_size / 4)) * block_size;
	int error;

	if (at >= file->size || file->size + length > MOST)
		return NOTHING_TO_DO;
	error = fallocate_range(file, FALLOC_FL_INSERT_RANGE, "insert", at, length);
	if (error)
		return error;
	memmove(file->content + at + length, file->content + at, file->size - at);
	memset(file->content + at, 0, length);
	file->size += length;
	return 0;
}

static int copy(struct file *file)
{
	struct file *from = &files[chance() % 2];
	off_t at, to = below(MOST), length, from_at, to_at;

	choose_range(&at, &length);
	if (chance() % 2) {
		at -= at % block_size;
		to -= to % block_size;
	}
	if (at >= from->size)
		return NOTHING_TO_DO;
	if (at + length > from->size)
		length = from->size - at;
	if (to + length > MOST)
		length = MOST - to;
	if (from == file && at < to + length && to < at + length)
		return NOTHING_TO_DO;
	remember("%s: copy %jd from %s %jd to %jd of %jd", file->path, (intmax_t)length, from->path,
		 (intmax_t)at, (intmax_t)to, (intmax_t)file->size);
	memcpy(buffer, from->content + at, length);
	from_at = at;
	to_at = to;
	for (off_t left = length; left > 0;) {
		ssize_t copied = copy_file_range(from->fd, &from_at, file->fd, &to_at, left, 0);

		if (copied <= 0)
			fail("copy_file_range: %s", copied ? strerrorname_np(errno) : "nothing copied");
		left -= copied;
	}
	wrote(file, to, length);
	return 0;
}

/* ---------------------------------------------------------------- caches */

static int sync_file(struct file *file)
{
	remember("%s: sync", file->path);
	if ((chance() % 2 ? fsync : fdatasync)(file->fd) < 0)
		fail("fsync: %s", strerrorname_np(errno));
	return 0;
}

/* What is read next comes from the file system. */
static int forget(struct file *file)
{
	remember("%s: forget", file->path);
	if (fdatasync(file->fd) < 0 || posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED))
		fail("forget: %s", strerrorname_np(errno));
	return 0;
}

static int reopen(struct file *file)
{
	remember("%s: reopen", file->path);
	if (close(file->fd) < 0)
		fail("close: %s", strerrorname_np(errno));
	open_file(file, 0);
	return 0;
}

static int replace(struct file *file)
{
	remember("%s: replace", file->path);
	if (unlink(file->path) < 0)
		fail("unlink: %s", strerrorname_np(errno));
	close(file->fd);
	open_file(file, O_CREAT | O_EXCL);
	file->size = 0;
	return 0;
}

/* What `run` returns is 0, the errno of what is not supported, or NOTHING_TO_DO. */
static struct {
	const char *name;
	int weight;
	int (*run)(struct file *file);
	long times;
	int is_missing;
} things[] = {
	{ "read", 150, read_some }, { "map-read", 70, map_read }, { "direct-read", 20, direct_read },
	{ "write", 180, write_some }, { "append", 40, append }, { "map-write", 70, map_write },
	{ "direct-write", 20, direct_write }, { "truncate", 60, truncate_some },
	{ "allocate", 35, allocate }, { "punch", 60, punch }, { "zero", 50, zero },
	{ "collapse", 30, collapse }, { "insert", 30, insert }, { "copy", 50, copy },
	{ "sync", 8, sync_file }, { "forget", 40, forget }, { "reopen", 20, reopen },
	{ "replace", 2, replace },
};

enum { THINGS = sizeof things / sizeof *things };

static void do_one(void)
{
	struct file *file = &files[chance() % 3 == 0];
	int total = 0, choice, i = 0, error;

	for (int each = 0; each < THINGS; each++)
		total += things[each].weight;
	choice = below(total);
	while ((choice -= things[i].weight) >= 0)
		i++;
	error = things[i].run(file);
	if (error == NOTHING_TO_DO)
		return;
	if (error && error != EOPNOTSUPP && error != EINVAL)
		fail("%s: %s", things[i].name, strerrorname_np(error));
	if (error && things[i].times)
		fail("%s: %s, but not before", things[i].name, strerrorname_np(error));
	if (error)
		things[i].is_missing = 1;
	else
		things[i].times++;
	expect_size(file);
}

static void write_copy(const struct file *file, const char *folder, int index)
{
	char path[4096];
	FILE *copy;

	snprintf(path, sizeof path, "%s/%d", folder, index);
	copy = fopen(path, "w");
	if (!copy || fwrite(file->content, 1, file->size, copy) != (size_t)file->size || fclose(copy))
		fail("%s: %s", path, strerrorname_np(errno));
}

int main(int argc, char **argv)
{
	long count;

	if (argc != 6) {
		fprintf(stderr, "usage: file_exerciser FOLDER SEED COUNT BLOCKSIZE COPIES\n");
		return 2;
	}
	state = 0x9e3779b97f4a7c15u * (strtoull(argv[2], NULL, 0) + 1);
	count = atol(argv[3]);
	block_size = atol(argv[4]);
	for (int i = 0; i < 2; i++) {
		snprintf(files[i].path, sizeof files[i].path, "%s/%d", argv[1], i);
		open_file(&files[i], O_CREAT | O_TRUNC);
	}
	for (done = 0; done < count; done++)
		do_one();
	for (int i = 0; i < 2; i++) {
		forget(&files[i]);
		if (pread(files[i].fd, buffer, MOST, 0) != files[i].size)
			fail("%s: not all can be read in the end", files[i].path);
		expect(&files[i], buffer, 0, files[i].size);
		write_copy(&files[i], argv[5], i);
	}
	for (int i = 0; i < THINGS; i++)
		if (things[i].times)
			printf("%s%s %ld", i ? ", " : "", things[i].name, things[i].times);
	printf("\n");
	for (int i = 0; i < THINGS; i++)
		if (things[i].is_missing)
			printf("%s ", things[i].name);
	printf("\n");
	return 0;
}
