/*
 * syscalls ROOT: makes the system calls that its standard input asks for, one a line, relative to
 * ROOT, and prints one line for each: what it returned, or the name of the errno.
 *
 *     mkdir dir/a 0755            ->  ok
 *     open 1 dir/f rw,creat 0644  ->  ok
 *     pwrite 1 4096 100 7         ->  100
 *     stat dir/f                  ->  f 0644 nlink=1 uid=0 gid=0 size=4196
 *     unlink nothing              ->  ENOENT
 *
 * Open files are numbered by the script. A word has its bytes as they are, or as %XX; %- is an
 * empty word. Two implementations of one file system are the same when their lines are, so nothing
 * that depends on the clock, or on where things were put, is printed. The file is as long as there
 * are calls: one short function each, and a table of them behind.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "pattern.h"
#include "type_letter.h"

enum {
	MAX_WORDS = 8,
	SLOTS = 32,
	MAX_TRANSFER = 4 << 20,
	/* Longer than the tick that the kernel's cheap clock advances by. */
	TICK_MICROSECONDS = 12000,
};

static int slots[SLOTS];
static struct stat marks[SLOTS];
static DIR *streams[SLOTS];
static unsigned char buffer[MAX_TRANSFER] __attribute__((aligned(4096)));
static char **words;

struct flag {
	const char *name;
	long value;
};

static const struct flag open_flags[] = {
	{ "ro", O_RDONLY }, { "wo", O_WRONLY }, { "rw", O_RDWR }, { "creat", O_CREAT },
	{ "excl", O_EXCL }, { "trunc", O_TRUNC }, { "append", O_APPEND }, { "direct", O_DIRECT },
	{ "sync", O_SYNC }, { "dsync", O_DSYNC }, { "dir", O_DIRECTORY }, { "nofollow", O_NOFOLLOW },
	{ "path", O_PATH }, { "tmpfile", O_TMPFILE }, { "noatime", O_NOATIME },
	{ NULL, 0 },
};
static const struct flag rename_flags[] = {
	{ "noreplace", RENAME_NOREPLACE }, { "exchange", RENAME_EXCHANGE },
	{ "whiteout", RENAME_WHITEOUT }, { NULL, 0 },
};
static const struct flag fallocate_flags[] = {
	{ "keep", FALLOC_FL_KEEP_SIZE }, { "punch", FALLOC_FL_PUNCH_HOLE },
	{ "zero", FALLOC_FL_ZERO_RANGE }, { "collapse", FALLOC_FL_COLLAPSE_RANGE },
	{ "insert", FALLOC_FL_INSERT_RANGE }, { "unshare", FALLOC_FL_UNSHARE_RANGE }, { NULL, 0 },
};
static const struct flag xattr_flags[] = {
	{ "create", XATTR_CREATE }, { "replace", XATTR_REPLACE }, { NULL, 0 },
};
static const struct flag whences[] = {
	{ "set", SEEK_SET }, { "cur", SEEK_CUR }, { "end", SEEK_END }, { "data", SEEK_DATA },
	{ "hole", SEEK_HOLE }, { NULL, 0 },
};

static void stop(const char *what, const char *word)
{
	fprintf(stderr, "syscalls: %s: %s\n", what, word);
	exit(2);
}

/* Flags by name, joined by commas; "0" is none, and other numbers are themselves. */
static long flags_of(const struct flag *table, const char *word)
{
	long flags = 0;
	char copy[256], *rest = copy, *name;

	if (*word >= '0' && *word <= '9')
		return strtol(word, NULL, 0);
	snprintf(copy, sizeof copy, "%s", word);
	while ((name = strsep(&rest, ","))) {
		const struct flag *flag = table;

		while (flag->name && strcmp(flag->name, name))
			flag++;
		if (!flag->name)
			stop("unknown flag", name);
		flags |= flag->value;
	}
	return flags;
}

static long long number(int word)
{
	char *end;
	long long value = strtoll(words[word], &end, 0);

	if (*end || end == words[word])
		stop("not a number", words[word]);
	return value;
}

static int slot(int word)
{
	long long index = number(word);

	if (index < 0 || index >= SLOTS)
		stop("no such slot", words[word]);
	return index;
}

static int fd(int word)
{
	return slots[slot(word)];
}

/* By this path, calls that take none but a path act on what is open. */
static const char *proc_path(int descriptor)
{
	static char path[64];

	snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
	return path;
}

static void result(long long value)
{
	if (value < 0)
		puts(strerrorname_np(errno));
	else
		puts("ok");
}

static void count(long long value)
{
	if (value < 0)
		puts(strerrorname_np(errno));
	else
		printf("%lld\n", value);
}

static void content(long long length)
{
	if (length < 0)
		puts(strerrorname_np(errno));
	else
		printf("%lld %016" PRIx64 "\n", length, sum_bytes(buffer, length));
}

static void print_escaped(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = bytes[i];

		if (c > ' ' && c < 0x7f && c != '%')
			putchar(c);
		else
			printf("%%%02x", c);
	}
}

static size_t transfer(int word)
{
	long long length = number(word);

	if (length < 0 || length > MAX_TRANSFER)
		stop("no such length", words[word]);
	return length;
}

/* ---------------------------------------------------------------- names */

static void op_mkdir(void) { result(mkdir(words[1], number(2))); }
static void op_rmdir(void) { result(rmdir(words[1])); }
static void op_unlink(void) { result(unlink(words[1])); }
static void op_symlink(void) { result(symlink(words[1], words[2])); }
static void op_link(void) { result(linkat(AT_FDCWD, words[1], AT_FDCWD, words[2], 0)); }
static void op_chdir(void) { result(chdir(words[1])); }
static void op_linkfd(void)
{
	result(linkat(AT_FDCWD, proc_path(fd(1)), AT_FDCWD, words[2], AT_SYMLINK_FOLLOW));
}

/* mknod PATH f|p|s|c|b MODE MAJOR MINOR */
static void op_mknod(void)
{
	static const char letters[] = "fpscb";
	static const mode_t types[] = { S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK };
	const char *letter = strchr(letters, *words[2]);

	if (!letter)
		stop("no such type", words[2]);
	result(mknod(words[1], types[letter - letters] | number(3), makedev(number(4), number(5))));
}

static void op_rename(void)
{
	result(renameat2(AT_FDCWD, words[1], AT_FDCWD, words[2], flags_of(rename_flags, words[3])));
}

static void op_readlink(void)
{
	ssize_t length = readlink(words[1], (char *)buffer, sizeof buffer);

	if (length < 0) {
		puts(strerrorname_np(errno));
		return;
	}
	print_escaped((char *)buffer, length);
	putchar('\n');
}

/* makemany DIR PREFIX COUNT: empty files. removemany takes them away again. */
static void op_makemany(void)
{
	char path[8192];
	long long made;

	for (made = 0; made < number(3); made++) {
		snprintf(path, sizeof path, "%s/%s%lld", words[1], words[2], made);
		int made_fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0644);

		if (made_fd < 0)
			break;
		close(made_fd);
	}
	printf("%lld %s\n", made, made < number(3) ? strerrorname_np(errno) : "ok");
}

static void op_removemany(void)
{
	char path[8192];
	long long removed;

	for (removed = 0; removed < number(3); removed++) {
		snprintf(path, sizeof path, "%s/%s%lld", words[1], words[2], removed);
		if (unlink(path) < 0)
			break;
	}
	printf("%lld %s\n", removed, removed < number(3) ? strerrorname_np(errno) : "ok");
}

/* linkmany PATH DIR PREFIX COUNT: as many links as can be made, up to COUNT. */
static void op_linkmany(void)
{
	char path[8192];
	long long made;

	for (made = 0; made < number(4); made++) {
		snprintf(path, sizeof path, "%s/%s%lld", words[2], words[3], made);
		if (link(words[1], path) < 0)
			break;
	}
	printf("%lld %s\n", made, made < number(4) ? strerrorname_np(errno) : "ok");
}

/* ---------------------------------------------------------------- listing */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* list PATH: the names, sorted, each with its type. listcount: how many, and a sum. */
static void list(int only_count)
{
	DIR *dir = opendir(words[1]);
	struct dirent *entry;
	char **names = NULL;
	size_t listed = 0, room = 0;
	uint64_t sum = 0;

	if (!dir) {
		puts(strerrorname_np(errno));
		return;
	}
	errno = 0;
	while ((entry = readdir(dir))) {
		char line[300];

		if (listed == room)
			names = realloc(names, (room = room ? 2 * room : 64) * sizeof *names);
		snprintf(line, sizeof line, "%d:%s", entry->d_type, entry->d_name);
		names[listed++] = strdup(line);
		sum += sum_bytes((unsigned char *)line, strlen(line));
		errno = 0;
	}
	int error = errno;

	closedir(dir);
	if (listed)
		qsort(names, listed, sizeof *names, compare_lines);
	if (only_count)
		printf("%zu %016" PRIx64, listed, sum);
	for (size_t i = 0; i < listed; i++) {
		if (!only_count) {
			fputs(i ? " " : "", stdout);
			print_escaped(names[i], strlen(names[i]));
		}
		free(names[i]);
	}
	free(names);
	printf("%s%s\n", error ? " " : "", error ? strerrorname_np(error) : "");
}

static void op_list(void) { list(0); }
static void op_listcount(void) { list(1); }

static void op_opendir(void)
{
	DIR *dir = opendir(words[2]);

	if (dir)
		streams[slot(1)] = dir;
	result(dir ? 0 : -1);
}

static void op_closedir(void)
{
	closedir(streams[slot(1)]);
	streams[slot(1)] = NULL;
	puts("ok");
}

static void op_rewinddir(void)
{
	rewinddir(streams[slot(1)]);
	puts("ok");
}

static int is_dot(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* nextnames SLOT COUNT: how many of so many more names there are, without the dot names. */
static void op_nextnames(void)
{
	struct dirent *entry = NULL;
	long long names = 0;

	errno = 0;
	while (names < number(2) && (entry = readdir(streams[slot(1)])))
		if (!is_dot(entry->d_name))
			names++;
	printf("%lld%s\n", names, entry || names == number(2) ? "" : errno ? " error" : " end");
}

/*
 * deleteall PATH SIZE: deletes every name while it is listed, with calls of so many bytes, and
 * lists again until nothing is left; prints how many were deleted.
 */
static void op_deleteall(void)
{
	int dir = open(words[1], O_RDONLY | O_DIRECTORY);
	long deleted = 0, rounds = 0, before;

	if (dir < 0) {
		puts(strerrorname_np(errno));
		return;
	}
	do {
		long got;

		before = deleted;
		lseek(dir, 0, SEEK_SET);
		while ((got = syscall(SYS_getdents64, dir, buffer, transfer(2))) > 0) {
			for (long at = 0; at < got;) {
				struct dirent64 *entry = (struct dirent64 *)(buffer + at);

				at += entry->d_reclen;
				if (is_dot(entry->d_name))
					continue;
				if (unlinkat(dir, entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0) < 0)
					goto failed;
				deleted++;
			}
		}
		if (got < 0)
			goto failed;
	} while (deleted > before && ++rounds < 100);
	close(dir);
	printf("%ld\n", deleted);
	return;
failed:
	printf("%ld %s\n", deleted, strerrorname_np(errno));
	close(dir);
}

/*
 * seekall PATH: goes to the place of every name in a wild order, and expects that name there.
 *
 * Of a FUSE server's directory, Linux 6.18 keeps the rows of a listing that was not read to its end,
 * does not look whether names have gone since, and puts the rest of the next listing behind them
 * (docs/writable_mounts.md). That also becomes of one whose memory was taken meanwhile, as by another
 * test, so what the kernel has is dropped first.
 */
static void op_seekall(void)
{
	DIR *dir = opendir(words[1]);
	struct {
		char name[256];
		long place;
	} *rows = NULL;
	size_t listed = 0, room = 0, wrong = 0;
	struct dirent *entry;

	if (!dir) {
		puts(strerrorname_np(errno));
		return;
	}
	posix_fadvise(dirfd(dir), 0, 0, POSIX_FADV_DONTNEED);
	for (;;) {
		long place = telldir(dir);

		if (!(entry = readdir(dir)))
			break;
		if (listed == room)
			rows = realloc(rows, (room = room ? 2 * room : 64) * sizeof *rows);
		strcpy(rows[listed].name, entry->d_name);
		rows[listed++].place = place;
	}
	for (size_t i = 0, at = 0; i < listed; i++) {
		at = (at + 7919) % listed;
		seekdir(dir, rows[at].place);
		entry = readdir(dir);
		wrong += !entry || strcmp(entry->d_name, rows[at].name);
	}
	closedir(dir);
	free(rows);
	printf("%zu names, %zu wrong\n", listed, wrong);
}

/* ---------------------------------------------------------------- content */

/* open SLOT PATH FLAGS MODE. Nobody is there to open the other end of a FIFO. */
static void op_open(void)
{
	long flags = flags_of(open_flags, words[3]) | O_CLOEXEC | O_NONBLOCK;
	int opened = open(words[2], flags, number(4));

	if (opened >= 0) {
		if (slots[slot(1)] >= 0)
			close(slots[slot(1)]);
		slots[slot(1)] = opened;
	}
	result(opened);
}

static void op_close(void)
{
	result(close(fd(1)));
	slots[slot(1)] = -1;
}

static void op_read(void) { content(read(fd(1), buffer, transfer(2))); }
static void op_pread(void) { content(pread(fd(1), buffer, transfer(3), number(2))); }

/* write SLOT LENGTH SEED */
static void op_write(void)
{
	fill_pattern(buffer, transfer(2), number(3), 0);
	count(write(fd(1), buffer, transfer(2)));
}

/* pwrite SLOT POSITION LENGTH SEED */
static void op_pwrite(void)
{
	fill_pattern(buffer, transfer(3), number(4), number(2));
	count(pwrite(fd(1), buffer, transfer(3), number(2)));
}

/* pwriteflags SLOT POSITION LENGTH SEED FLAGS: RWF_APPEND, RWF_NOWAIT, ... as a number */
static void op_pwriteflags(void)
{
	struct iovec piece = { buffer, transfer(3) };

	fill_pattern(buffer, transfer(3), number(4), number(2));
	count(pwritev2(fd(1), &piece, 1, number(2), number(5)));
}

/* text SLOT WORD */
static void op_text(void) { count(write(fd(1), words[2], strlen(words[2]))); }

static void op_lseek(void) { count(lseek(fd(1), number(2), flags_of(whences, words[3]))); }
static void op_truncate(void) { result(truncate(words[1], number(2))); }
static void op_ftruncate(void) { result(ftruncate(fd(1), number(2))); }
static void op_fsync(void) { result(fsync(fd(1))); }
static void op_fdatasync(void) { result(fdatasync(fd(1))); }
static void op_syncfs(void) { result(syncfs(fd(1))); }

/* fallocate SLOT MODE POSITION LENGTH */
static void op_fallocate(void)
{
	result(fallocate(fd(1), flags_of(fallocate_flags, words[2]), number(3), number(4)));
}

/* copyrange FROM POSITION TO POSITION LENGTH: goes on until all is copied or the file ends. */
static void op_copyrange(void)
{
	off_t from = number(2), to = number(4);
	long long left = number(5), done = 0;

	while (left > 0) {
		ssize_t copied = copy_file_range(fd(1), &from, fd(3), &to, left, 0);

		if (copied < 0) {
			printf("%lld %s\n", done, strerrorname_np(errno));
			return;
		}
		if (copied == 0)
			break;
		left -= copied;
		done += copied;
	}
	printf("%lld\n", done);
}

/* Maps what holds the range, whose start need not be that of a page. */
static unsigned char *map_range(int protection, off_t *start, size_t *size)
{
	*start = number(2) & ~4095;
	*size = number(2) - *start + transfer(3);
	return mmap(NULL, *size, protection, MAP_SHARED, fd(1), *start);
}

/* mmapwrite SLOT POSITION LENGTH SEED: up to the end of the file. */
static void op_mmapwrite(void)
{
	off_t start;
	size_t size;
	struct stat st;
	unsigned char *map = map_range(PROT_READ | PROT_WRITE, &start, &size);
	long long length = number(3);

	if (map == MAP_FAILED) {
		puts(strerrorname_np(errno));
		return;
	}
	fstat(fd(1), &st);
	if (number(2) + length > st.st_size)
		length = st.st_size > number(2) ? st.st_size - number(2) : 0;
	fill_pattern(map + (number(2) - start), length, number(4), number(2));
	munmap(map, size);
	printf("%lld\n", length);
}

static void op_mmapread(void)
{
	off_t start;
	size_t size;
	struct stat st;
	unsigned char *map = map_range(PROT_READ, &start, &size);
	long long length = number(3);

	if (map == MAP_FAILED) {
		puts(strerrorname_np(errno));
		return;
	}
	fstat(fd(1), &st);
	if (number(2) + length > st.st_size)
		length = st.st_size > number(2) ? st.st_size - number(2) : 0;
	memcpy(buffer, map + (number(2) - start), length);
	munmap(map, size);
	content(length);
}

/* forget SLOT: what the kernel has of the file in its cache is written out and dropped. */
static void op_forget(void)
{
	fsync(fd(1));
	result(posix_fadvise(fd(1), 0, 0, POSIX_FADV_DONTNEED));
}

/* ---------------------------------------------------------------- attributes */

static void op_chmod(void) { result(chmod(words[1], number(2))); }
static void op_fchmod(void) { result(fchmod(fd(1), number(2))); }
static void op_chown(void) { result(chown(words[1], number(2), number(3))); }
static void op_lchown(void) { result(lchown(words[1], number(2), number(3))); }
static void op_fchown(void) { result(fchown(fd(1), number(2), number(3))); }

/* "now", "omit", or seconds.nanoseconds */
static struct timespec time_of(const char *word)
{
	struct timespec time = { 0 };
	const char *dot = strchr(word, '.');

	if (!strcmp(word, "now") || !strcmp(word, "omit")) {
		time.tv_nsec = *word == 'n' ? UTIME_NOW : UTIME_OMIT;
		return time;
	}
	time.tv_sec = strtoll(word, NULL, 10);
	time.tv_nsec = dot ? strtol(dot + 1, NULL, 10) : 0;
	return time;
}

static void utimens(int flags)
{
	struct timespec times[2] = { time_of(words[2]), time_of(words[3]) };

	result(utimensat(AT_FDCWD, words[1], times, flags));
}

static void op_utimens(void) { utimens(0); }
static void op_lutimens(void) { utimens(AT_SYMLINK_NOFOLLOW); }
static void op_futimens(void)
{
	struct timespec times[2] = { time_of(words[2]), time_of(words[3]) };

	result(futimens(fd(1), times));
}

/* The size of a directory depends on how its blocks were filled. */
static void print_stat(int failed, const struct stat *st)
{
	if (failed) {
		puts(strerrorname_np(errno));
		return;
	}
	printf("%c %04o nlink=%u uid=%u gid=%u", type_letter(st->st_mode), st->st_mode & 07777,
	       (unsigned)st->st_nlink, st->st_uid, st->st_gid);
	if (!S_ISDIR(st->st_mode))
		printf(" size=%jd", (intmax_t)st->st_size);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		printf(" rdev=%u:%u", major(st->st_rdev), minor(st->st_rdev));
	putchar('\n');
}

static void op_stat(void)
{
	struct stat st;

	print_stat(stat(words[1], &st), &st);
}

static void op_lstat(void)
{
	struct stat st;

	print_stat(lstat(words[1], &st), &st);
}

static void op_fstat(void)
{
	struct stat st;

	print_stat(fstat(fd(1), &st), &st);
}

/* Times of this century up to the year 2036 are those of the clock, and all the same. */
static void print_time(const char *name, const struct timespec *time)
{
	if (time->tv_sec >= 1600000000 && time->tv_sec < 2100000000)
		printf(" %s=now", name);
	else
		printf(" %s=%jd.%09ld", name, (intmax_t)time->tv_sec, time->tv_nsec);
}

static void op_times(void)
{
	struct stat st;

	if (lstat(words[1], &st)) {
		puts(strerrorname_np(errno));
		return;
	}
	printf("times");
	print_time("atime", &st.st_atim);
	print_time("mtime", &st.st_mtim);
	print_time("ctime", &st.st_ctim);
	putchar('\n');
}

/* mark SLOT PATH: keeps the times of a file, for `changed` to tell which of them are others now. */
static void op_mark(void)
{
	result(lstat(words[2], &marks[slot(1)]));
	usleep(TICK_MICROSECONDS);
}

static const char *change_of(const struct timespec *before, const struct timespec *after)
{
	if (before->tv_sec == after->tv_sec && before->tv_nsec == after->tv_nsec)
		return "same";
	return after->tv_sec < before->tv_sec ||
	       (after->tv_sec == before->tv_sec && after->tv_nsec < before->tv_nsec)
		? "earlier" : "later";
}

static void op_changed(void)
{
	const struct stat *before = &marks[slot(1)];
	struct stat st;

	if (lstat(words[2], &st)) {
		puts(strerrorname_np(errno));
		return;
	}
	printf("atime %s, mtime %s, ctime %s\n", change_of(&before->st_atim, &st.st_atim),
	       change_of(&before->st_mtim, &st.st_mtim), change_of(&before->st_ctim, &st.st_ctim));
}

static void op_access(void) { result(faccessat(AT_FDCWD, words[1], number(2), AT_EACCESS)); }

/* An attribute's value: LENGTH:SEED, or x:HEX. */
static size_t value_of(const char *word)
{
	size_t length = 0;

	if (!strncmp(word, "x:", 2)) {
		for (const char *at = word + 2; at[0] && at[1]; at += 2) {
			unsigned byte;

			sscanf(at, "%2x", &byte);
			buffer[length++] = byte;
		}
		return length;
	}
	length = strtoul(word, NULL, 0);
	if (length > MAX_TRANSFER)
		stop("no such length", word);
	fill_pattern(buffer, length, strchr(word, ':') ? atoi(strchr(word, ':') + 1) : 0, 0);
	return length;
}

/* setxattr PATH NAME VALUE FLAGS */
static void op_setxattr(void)
{
	size_t length = value_of(words[3]);

	result(setxattr(words[1], words[2], buffer, length, flags_of(xattr_flags, words[4])));
}

static void op_lsetxattr(void)
{
	size_t length = value_of(words[3]);

	result(lsetxattr(words[1], words[2], buffer, length, flags_of(xattr_flags, words[4])));
}

/* getxattr PATH NAME SIZE: with room for so many bytes. */
static void op_getxattr(void)
{
	size_t room = transfer(3);
	ssize_t length = getxattr(words[1], words[2], buffer, room);

	if (room == 0)
		count(length);
	else
		content(length);
}

static void op_removexattr(void) { result(removexattr(words[1], words[2])); }
static void op_lremovexattr(void) { result(lremovexattr(words[1], words[2])); }

/* listxattr PATH SIZE: the names, sorted. */
static void op_listxattr(void)
{
	size_t room = transfer(2), found = 0;
	ssize_t length = llistxattr(words[1], (char *)buffer, room);
	char *names[4096];

	if (length < 0 || room == 0) {
		count(length);
		return;
	}
	for (char *at = (char *)buffer; at < (char *)buffer + length; at += strlen(at) + 1)
		if (found < 4096)
			names[found++] = at;
	qsort(names, found, sizeof *names, compare_lines);
	printf("%zu:", found);
	for (size_t i = 0; i < found; i++) {
		putchar(' ');
		print_escaped(names[i], strlen(names[i]));
	}
	putchar('\n');
}

static void op_getflags(void)
{
	int flags = 0, file = open(words[1], O_RDONLY | O_NONBLOCK);

	if (file < 0 || ioctl(file, FS_IOC_GETFLAGS, &flags) < 0)
		puts(strerrorname_np(errno));
	else
		printf("%08x\n", flags & ~FS_EXTENT_FL & ~FS_INDEX_FL & ~FS_INLINE_DATA_FL);
	if (file >= 0)
		close(file);
}

/* setflags PATH SET CLEAR: of chattr(1) */
static void op_setflags(void)
{
	int flags = 0, file = open(words[1], O_RDONLY | O_NONBLOCK);
	int failed = file < 0 || ioctl(file, FS_IOC_GETFLAGS, &flags) < 0;

	flags = (flags | number(2)) & ~number(3);
	failed = failed || ioctl(file, FS_IOC_SETFLAGS, &flags) < 0;
	result(failed ? -1 : 0);
	if (file >= 0)
		close(file);
}

/* statfs PATH: what does not depend on where things were put, or on when the kernel forgets them. */
static void op_statfs(void)
{
	struct statfs st;

	if (statfs(words[1], &st) < 0)
		puts(strerrorname_np(errno));
	else
		printf("namelen=%ld bsize=%ld files=%ju\n", (long)st.f_namelen, (long)st.f_bsize,
		       (uintmax_t)st.f_files);
}

/* ---------------------------------------------------------------- who calls */

/* as UID GID [GROUP,...] */
static void op_as(void)
{
	gid_t groups[32];
	size_t found = 0;
	char *rest = words[3], *word;

	if (setresuid(0, 0, 0) < 0)
		stop("cannot become", "root");
	while (rest && (word = strsep(&rest, ",")))
		groups[found++] = atoi(word);
	if (setgroups(found, groups) < 0 || setresgid(number(2), number(2), 0) < 0 ||
	    setresuid(number(1), number(1), 0) < 0)
		stop("cannot become", words[1]);
	/* Or /proc/self would belong to root. */
	prctl(PR_SET_DUMPABLE, 1);
	puts("ok");
}

static void op_umask(void)
{
	umask(number(1));
	puts("ok");
}

/* filesize LIMIT: files may not become longer; -1 is no limit. */
static void op_filesize(void)
{
	struct rlimit limit = { number(1) < 0 ? RLIM_INFINITY : number(1), RLIM_INFINITY };

	result(setrlimit(RLIMIT_FSIZE, &limit));
}

/* run PATH: executes a file; prints how that went. */
static void op_run(void)
{
	int status;
	pid_t child = vfork();

	if (child == 0) {
		execl(words[1], words[1], NULL);
		_exit(errno);
	}
	waitpid(child, &status, 0);
	puts(status ? strerrorname_np(WEXITSTATUS(status)) : "ok");
}

/* tick: lets the clock go on. */
static void op_tick(void)
{
	usleep(TICK_MICROSECONDS);
	puts("ok");
}

#define OP(name, least) { #name, least, op_##name }

static const struct {
	const char *name;
	int arguments;
	void (*run)(void);
} operations[] = {
	OP(mkdir, 2), OP(rmdir, 1), OP(unlink, 1), OP(symlink, 2), OP(link, 2), OP(chdir, 1),
	OP(linkfd, 2), OP(mknod, 5), OP(rename, 3), OP(readlink, 1), OP(makemany, 3),
	OP(removemany, 3), OP(linkmany, 4), OP(list, 1), OP(listcount, 1), OP(opendir, 2),
	OP(closedir, 1), OP(rewinddir, 1), OP(nextnames, 2), OP(deleteall, 2), OP(seekall, 1),
	OP(open, 4), OP(close, 1), OP(read, 2), OP(pread, 3), OP(write, 3), OP(pwrite, 4),
	OP(pwriteflags, 5), OP(lseek, 3), OP(truncate, 2), OP(ftruncate, 2), OP(fsync, 1),
	OP(fdatasync, 1), OP(syncfs, 1), OP(fallocate, 4), OP(copyrange, 5), OP(mmapwrite, 4),
	OP(mmapread, 3), OP(forget, 1), OP(chmod, 2), OP(fchmod, 2), OP(chown, 3), OP(lchown, 3),
	OP(fchown, 3), OP(utimens, 3), OP(lutimens, 3), OP(futimens, 3), OP(stat, 1), OP(lstat, 1),
	OP(fstat, 1), OP(times, 1), OP(mark, 2), OP(changed, 2), OP(access, 2), OP(setxattr, 4),
	OP(lsetxattr, 4), OP(getxattr, 3), OP(removexattr, 2), OP(lremovexattr, 2),
	OP(listxattr, 2), OP(getflags, 1), OP(setflags, 3), OP(statfs, 1), OP(as, 2), OP(umask, 1),
	OP(filesize, 1), OP(run, 1), OP(tick, 0), OP(text, 2),
};

static void decode(char *word)
{
	char *to = word;

	for (; *word; word++) {
		unsigned byte;

		if (*word != '%') {
			*to++ = *word;
		} else if (word[1] == '-') {
			word++;
		} else if (sscanf(word + 1, "%2x", &byte) == 1) {
			*to++ = byte;
			word += 2;
		}
	}
	*to = 0;
}

static void run_line(char *line)
{
	static char *split[MAX_WORDS + 1];
	int found = 0;
	char *word;

	memset(split, 0, sizeof split);
	while (found < MAX_WORDS && (word = strsep(&line, " "))) {
		decode(word);
		split[found++] = word;
	}
	words = split;
	for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
		if (strcmp(words[0], operations[i].name))
			continue;
		if (found - 1 < operations[i].arguments)
			stop("too few words", words[0]);
		operations[i].run();
		return;
	}
	stop("unknown operation", words[0]);
}

int main(int argc, char **argv)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t length;

	if (argc != 2) {
		fprintf(stderr, "usage: syscalls ROOT\n");
		return 2;
	}
	if (chdir(argv[1]) < 0)
		stop(strerrorname_np(errno), argv[1]);
	memset(slots, -1, sizeof slots);
	umask(022);
	/* What a limit of the size of files does first. */
	signal(SIGXFSZ, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 1 << 16);
	while ((length = getline(&line, &room, stdin)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = 0;
		run_line(line);
	}
	return 0;
}
