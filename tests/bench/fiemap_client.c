/*
 * Asks with FIEMAP where one block of a file is, and prints how long that took on the average.
 *
 *	fiemap_client FILE BLOCK COUNT
 */
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int argc, char **argv)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + 4 * sizeof(struct fiemap_extent)];
	} ask;
	int fd, i, count;
	double start;

	if (argc != 4)
		return 2;
	fd = open(argv[1], O_RDONLY);
	count = atoi(argv[3]);
	if (fd < 0 || count < 1)
		return 1;
	start = now();
	for (i = 0; i < count; i++) {
		memset(&ask, 0, sizeof(ask));
		ask.map.fm_start = atoll(argv[2]) * 4096;
		ask.map.fm_length = 4096;
		ask.map.fm_extent_count = 4;
		if (ioctl(fd, FS_IOC_FIEMAP, &ask.map) || ask.map.fm_mapped_extents != 1) {
			perror("FIEMAP");
			return 1;
		}
	}
	printf("%.3f\n", (now() - start) / count);
	return 0;
}
