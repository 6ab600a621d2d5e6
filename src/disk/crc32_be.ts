/**
 * CRC-32 of Ethernet with the highest bit first, the checksum of transactions before jbd2 had
 * crc32c. The seed is the caller's; there is no final inversion.
 */

const POLYNOMIAL = 0x04c11db7;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc < 0 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
  return crc;
});

/** The checksum of `bytes`, going on from `seed`, as an unsigned 32-bit number. */
export function crc32Be(seed: number, bytes: Uint8Array): number {
  let crc = seed | 0;
  for (let at = 0; at < bytes.length; at++) crc = (crc << 8) ^ TABLE[(crc >>> 24) ^ bytes[at]];
  return crc >>> 0;
}
