/* enable_verity FILE...: has the kernel protect files by fs-verity, with SHA-256 and 4 KiB blocks. */
#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++) {
		struct fsverity_enable_arg arg = {
			.version = 1,
			.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
			.block_size = 4096,
		};
		int fd = open(argv[i], O_RDONLY);

		if (fd < 0 || ioctl(fd, FS_IOC_ENABLE_VERITY, &arg) < 0) {
			perror(argv[i]);
			return 1;
		}
		close(fd);
	}
	return 0;
}
