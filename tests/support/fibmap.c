/* Asks with FIBMAP where each block of a file is: a line `FILE-BLOCK DEVICE-BLOCK` for each that is. */
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
	struct stat status;
	int fd, size, at;

	if (argc != 2)
		return 2;
	fd = open(argv[1], O_RDONLY);
	if (fd < 0 || fstat(fd, &status) || ioctl(fd, FIGETBSZ, &size)) {
		perror(argv[1]);
		return 1;
	}
	for (at = 0; (long long)at * size < status.st_size; at++) {
		int block = at;

		if (ioctl(fd, FIBMAP, &block)) {
			perror("FIBMAP");
			return 1;
		}
		if (block)
			printf("%d %d\n", at, block);
	}
	return 0;
}
