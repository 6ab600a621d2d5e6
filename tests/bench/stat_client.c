/*
 * Calls stat(2) on one path again and again, and prints what one call takes, in nanoseconds.
 *
 *   stat_client PATH COUNT
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

/* Calls before the clock starts: both sides settle into their pace. */
#define WARM_UP 1000

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int stat_often(const char *path, long count)
{
	struct stat st;

	while (count-- > 0) {
		if (stat(path, &st) != 0) {
			perror(path);
			return -1;
		}
	}
	return 0;
}

int main(int argc, char *argv[])
{
	long count = argc == 3 ? atol(argv[2]) : 0;
	int64_t start;

	if (count <= 0) {
		fprintf(stderr, "usage: %s PATH COUNT\n", argv[0]);
		return 2;
	}
	if (stat_often(argv[1], WARM_UP) != 0)
		return 1;
	start = now();
	if (stat_often(argv[1], count) != 0)
		return 1;
	printf("%.1f\n", (double)(now() - start) / (double)count);
	return 0;
}
