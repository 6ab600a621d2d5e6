/*
 * probe COMMAND ARGUMENTS: system calls on a mount that neither Deno nor a usual program makes.
 * Prints what came out; exits with 1 and says so when something is not as it must be.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct row {
	char *name;
	long position;
	ino_t ino;
};

static struct row *rows;
static size_t row_count;

static int fail(const char *what, const char *name)
{
	fprintf(stderr, "%s: %s: %s\n", what, name, strerrorname_np(errno));
	return 1;
}

/* Lists a directory into `rows`, each with the position that leads to it. */
static DIR *read_rows(const char *path)
{
	DIR *dir = opendir(path);
	size_t room = 0;

	if (!dir)
		exit(fail("opendir", path));
	for (;;) {
		long position = telldir(dir);
		struct dirent *entry;

		errno = 0;
		entry = readdir(dir);
		if (!entry)
			break;
		if (row_count == room) {
			room = room ? 2 * room : 1024;
			rows = realloc(rows, room * sizeof *rows);
		}
		rows[row_count++] = (struct row){ strdup(entry->d_name), position, entry->d_ino };
	}
	if (errno)
		exit(fail("readdir", path));
	return dir;
}

/* lookups DIR: stats every name that is listed, and as many that are not there. */
static int lookups(char **arguments)
{
	DIR *dir = read_rows(arguments[0]);
	char name[300];
	struct stat st;

	for (size_t i = 0; i < row_count; i++) {
		if (fstatat(dirfd(dir), rows[i].name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return fail("stat", rows[i].name);
		if (st.st_ino != rows[i].ino && strcmp(rows[i].name, ".."))
			return fail("another inode", rows[i].name);
		snprintf(name, sizeof name, "%.*s~", 254, rows[i].name);
		if (!fstatat(dirfd(dir), name, &st, AT_SYMLINK_NOFOLLOW) || errno != ENOENT)
			return fail("a name that is not there", name);
	}
	printf("%zu\n", row_count);
	return 0;
}

/* seekdir DIR: goes to every position in a wild order and expects the name that was there. */
static int seek_rows(char **arguments)
{
	DIR *dir = read_rows(arguments[0]);
	size_t at = 0;

	for (size_t i = 0; i < row_count; i++) {
		struct dirent *entry;

		at = (at + 7919) % row_count;
		seekdir(dir, rows[at].position);
		entry = readdir(dir);
		if (!entry || strcmp(entry->d_name, rows[at].name)) {
			fprintf(stderr, "at %ld: %s instead of %s\n", rows[at].position,
				entry ? entry->d_name : "the end", rows[at].name);
			return 1;
		}
	}
	printf("%zu\n", row_count);
	return 0;
}

/* handles DIR: opens everything listed by its handle after the kernel forgot all of it. */
static int handles(char **arguments)
{
	DIR *dir = read_rows(arguments[0]);
	struct {
		struct file_handle head;
		unsigned char rest[MAX_HANDLE_SZ];
	} *all = calloc(row_count, sizeof *all);
	int mount, drop;

	/* The parent of the root of a mount is not in the mount. */
	for (size_t i = 0; i < row_count; i++)
		if (!strcmp(rows[i].name, ".."))
			rows[i] = rows[--row_count];
	for (size_t i = 0; i < row_count; i++) {
		all[i].head.handle_bytes = MAX_HANDLE_SZ;
		if (name_to_handle_at(dirfd(dir), rows[i].name, &all[i].head, &mount, 0) < 0)
			return fail("name_to_handle_at", rows[i].name);
	}
	drop = open("/proc/sys/vm/drop_caches", O_WRONLY);
	if (drop < 0 || write(drop, "2", 1) != 1)
		return fail("drop_caches", "2");
	for (size_t i = 0; i < row_count; i++) {
		int fd = open_by_handle_at(dirfd(dir), &all[i].head, O_PATH | O_NOFOLLOW);
		struct stat st;

		if (fd < 0 || fstat(fd, &st) < 0)
			return fail("open_by_handle_at", rows[i].name);
		if (st.st_ino != rows[i].ino)
			return fail("another inode", rows[i].name);
		close(fd);
	}
	printf("%zu\n", row_count);
	return 0;
}

/* bmap FILE COUNT: the size of a block, and the device block of each of the first blocks. */
static int bmap(char **arguments)
{
	int fd = open(arguments[0], O_RDONLY);
	int size;

	if (fd < 0 || ioctl(fd, FIGETBSZ, &size) < 0)
		return fail("FIGETBSZ", arguments[0]);
	printf("%d ", size);
	for (int block = 0; block < atoi(arguments[1]); block++) {
		int number = block;

		if (ioctl(fd, FIBMAP, &number) < 0)
			return fail("FIBMAP", arguments[0]);
		printf("%d ", number);
	}
	putchar('\n');
	return 0;
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(char **arguments);
} commands[] = {
	{ "lookups", 1, lookups },
	{ "seekdir", 1, seek_rows },
	{ "handles", 1, handles },
	{ "bmap", 2, bmap },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(argv[1], commands[i].name) && argc == commands[i].arguments + 2)
			return commands[i].run(argv + 2);
	fprintf(stderr, "usage: probe lookups|seekdir|handles DIR, probe bmap FILE COUNT\n");
	return 2;
}
