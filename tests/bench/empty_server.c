/*
 * The least that a FUSE server can do, in C on libfuse's low-level interface: one folder with one
 * empty file, answered from constants. What a request costs here is the cost of FUSE itself.
 *
 *   empty_server MOUNTPOINT [-o options] [-f]
 *
 * Nothing may be cached: every timeout is 0, so each stat(2) of the file comes to the server.
 */

#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

/* As the large file of the image that the other servers have. */
static const char FILE_NAME[] = "big";
static const fuse_ino_t FILE_INO = 2;
static const double TIMEOUT = 0;

/* Fills in the attributes of the root or of the file; -1 for any other node. */
static int attributes(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0755;
		st->st_nlink = 2;
		return 0;
	}
	if (ino == FILE_INO) {
		st->st_mode = S_IFREG | 0644;
		st->st_nlink = 1;
		return 0;
	}
	return -1;
}

static void empty_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry;

	if (parent != FUSE_ROOT_ID || strcmp(name, FILE_NAME) != 0) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	memset(&entry, 0, sizeof(entry));
	entry.ino = FILE_INO;
	entry.attr_timeout = TIMEOUT;
	entry.entry_timeout = TIMEOUT;
	attributes(FILE_INO, &entry.attr);
	fuse_reply_entry(req, &entry);
}

static void empty_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	if (attributes(ino, &st) < 0)
		fuse_reply_err(req, ENOENT);
	else
		fuse_reply_attr(req, &st, TIMEOUT);
}

static const struct fuse_lowlevel_ops OPERATIONS = {
	.lookup = empty_lookup,
	.getattr = empty_getattr,
};

/* Answers on one thread until the mount is gone. */
static int serve(struct fuse_session *session, const struct fuse_cmdline_opts *opts)
{
	int result = 1;

	if (fuse_set_signal_handlers(session) != 0)
		return result;
	if (fuse_session_mount(session, opts->mountpoint) == 0) {
		if (fuse_daemonize(opts->foreground) == 0)
			result = fuse_session_loop(session) == 0 ? 0 : 1;
		fuse_session_unmount(session);
	}
	fuse_remove_signal_handlers(session);
	return result;
}

int main(int argc, char *argv[])
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct fuse_cmdline_opts opts;
	struct fuse_session *session;
	int result = 1;

	if (fuse_parse_cmdline(&args, &opts) != 0)
		return 1;
	if (opts.mountpoint == NULL) {
		fprintf(stderr, "usage: %s MOUNTPOINT [-o options] [-f]\n", argv[0]);
	} else {
		session = fuse_session_new(&args, &OPERATIONS, sizeof(OPERATIONS), NULL);
		if (session != NULL) {
			result = serve(session, &opts);
			fuse_session_destroy(session);
		}
	}
	free(opts.mountpoint);
	fuse_opt_free_args(&args);
	return result;
}
