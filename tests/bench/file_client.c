/*
 * Creates empty files in one folder, and unlinks them again in the same order.
 *
 *   file_client FOLDER COUNT
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char name[32];
	long count;

	if (argc != 3 || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: file_client FOLDER COUNT\n");
		return 2;
	}
	count = atol(argv[2]);
	for (long i = 0; i < count; i++) {
		int fd;

		snprintf(name, sizeof name, "file%ld", i);
		fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
		if (fd < 0) {
			perror(name);
			return 1;
		}
		close(fd);
	}
	for (long i = 0; i < count; i++) {
		snprintf(name, sizeof name, "file%ld", i);
		if (unlink(name) != 0) {
			perror(name);
			return 1;
		}
	}
	return 0;
}
