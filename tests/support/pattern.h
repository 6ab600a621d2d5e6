/* Content that tells where it was written, and sums over content. */
#include <stddef.h>
#include <stdint.h>

/* The byte that a write with this seed puts at a position; never the same at the next block. */
static inline unsigned char pattern_byte(uint32_t seed, uint64_t position)
{
	uint64_t h = (position >> 3) * 0x9e3779b97f4a7c15u + seed * 0xff51afd7ed558ccdu;

	return (h ^ (h >> 29)) >> ((position & 7) * 4 + 8);
}

static inline void fill_pattern(unsigned char *bytes, size_t length, uint32_t seed, uint64_t position)
{
	for (size_t i = 0; i < length; i++)
		bytes[i] = pattern_byte(seed, position + i);
}

/* FNV-1a */
static inline uint64_t sum_bytes(const unsigned char *bytes, size_t length)
{
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ bytes[i]) * 0x100000001b3u;
	return sum;
}
