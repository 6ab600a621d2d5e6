/** `fuse4fs info` against dumpe2fs -h, field by field. */

import assert from "node:assert/strict";
import { fuse4fs, fuse4fsJson } from "./support/command_line.ts";
import { requires } from "./support/requirements.ts";
import { run, TempDir } from "./support/run.ts";

interface Info {
  readonly [key: string]: unknown;
  readonly features: readonly string[];
  readonly state: readonly string[];
  readonly journal: { readonly [key: string]: unknown } | null;
  readonly mmp: { readonly [key: string]: unknown } | null;
}

type Read = (info: Info) => unknown;

const bare = (value: string) => value.split(" ")[0];
const number = (value: string) => Number(bare(value));
const words = (value: string) =>
  value.split(/\s+/).filter((word) => word !== "" && word !== "(none)");
/** dumpe2fs prints local time without a zone; the tests run it in UTC. */
const time = (value: string) =>
  value === "n/a" ? null : new Date(`${value} UTC`).toISOString().replace(".000Z", "Z");
const orNull = (value: string) => value.startsWith("<") ? null : value;
const lower = (value: string) => value.toLowerCase();

/** For each line of dumpe2fs: how to read it, and what info calls it. */
const FIELDS: Record<string, readonly [(value: string) => unknown, Read]> = {
  "Filesystem volume name": [orNull, (info) => info.label],
  "Last mounted on": [orNull, (info) => info.lastMountedOn],
  "Filesystem UUID": [String, (info) => info.uuid],
  "Filesystem magic number": [lower, (info) => info.magic],
  "Filesystem revision #": [number, (info) => info.revision],
  "Filesystem features": [words, (info) => info.features],
  "Filesystem flags": [words, (info) => info.flags],
  "Default mount options": [words, (info) => info.defaultMountOptions],
  "Mount options": [String, (info) => info.mountOptions],
  "Filesystem state": [
    (value) => value.startsWith("clean"),
    (info) => info.state.includes("valid"),
  ],
  "Errors behavior": [
    (value) => ({ Continue: "continue", "Remount read-only": "remount-ro", Panic: "panic" })[value],
    (info) => info.errorsBehavior,
  ],
  "Filesystem OS type": [String, (info) => info.creatorOs],
  "Inode count": [number, (info) => info.inodeCount],
  "Block count": [number, (info) => info.blockCount],
  "Reserved block count": [number, (info) => info.reservedBlocks],
  "Overhead clusters": [number, (info) => info.overheadClusters],
  "Free blocks": [number, (info) => info.freeBlocks],
  "Free inodes": [number, (info) => info.freeInodes],
  "First block": [number, (info) => info.firstBlock],
  "Block size": [number, (info) => info.blockSize],
  "Fragment size": [number, (info) => info.clusterSize],
  "Cluster size": [number, (info) => info.clusterSize],
  "Group descriptor size": [number, (info) => info.groupDescriptorSize],
  "Reserved GDT blocks": [number, (info) => info.reservedGdtBlocks],
  "Blocks per group": [number, (info) => info.blocksPerGroup],
  "Fragments per group": [number, (info) => info.clustersPerGroup],
  "Clusters per group": [number, (info) => info.clustersPerGroup],
  "Inodes per group": [number, (info) => info.inodesPerGroup],
  "Inode blocks per group": [number, (info) => info.inodeBlocksPerGroup],
  "First meta block group": [number, (info) => info.firstMetaBlockGroup],
  "RAID stride": [number, (info) => info.raidStride],
  "RAID stripe width": [number, (info) => info.raidStripeWidth],
  "Flex block group size": [number, (info) => info.flexBlockGroupSize],
  "Filesystem created": [time, (info) => info.created],
  "Last mount time": [time, (info) => info.lastMounted],
  "Last write time": [time, (info) => info.lastWritten],
  "Mount count": [number, (info) => info.mountCount],
  "Maximum mount count": [number, (info) => info.maximumMountCount],
  "Last checked": [time, (info) => info.lastChecked],
  "Check interval": [number, (info) => info.checkIntervalSeconds],
  "Next check after": [time, (info) => info.nextCheckAfter],
  "Reserved blocks uid": [number, (info) => info.reservedBlocksUid],
  "Reserved blocks gid": [number, (info) => info.reservedBlocksGid],
  "First inode": [number, (info) => info.firstInode],
  "Inode size": [number, (info) => info.inodeSize],
  "Required extra isize": [number, (info) => info.requiredExtraIsize],
  "Desired extra isize": [number, (info) => info.desiredExtraIsize],
  "Journal UUID": [String, (info) => info.journalUuid],
  "Journal inode": [number, (info) => info.journalInode],
  "Journal device": [String, (info) => info.journalDevice],
  "First orphan inode": [number, (info) => info.firstOrphanInode],
  "Default directory hash": [String, (info) => info.directoryHash],
  "Directory Hash Seed": [String, (info) => info.directoryHashSeed],
  "Journal backup": [String, (info) => info.journalBackup],
  "Backup block groups": [
    (value) => words(value).map(Number),
    (info) => info.backupBlockGroups,
  ],
  "FS Error count": [number, (info) => info.errorCount],
  "MMP block number": [number, (info) => info.mmpBlock],
  "MMP update interval": [number, (info) => info.mmpUpdateInterval],
  "Checksum type": [String, (info) => info.checksumType],
  "Checksum": [String, (info) => info.checksum],
  "Checksum seed": [String, (info) => info.checksumSeed],
  "Character encoding": [String, (info) => info.characterEncoding],
  "Orphan file inode": [number, (info) => info.orphanFileInode],
  "User quota inode": [number, (info) => info.userQuotaInode],
  "Group quota inode": [number, (info) => info.groupQuotaInode],
  "Project quota inode": [number, (info) => info.projectQuotaInode],
  "Encryption level": [number, (info) => info.encryptionLevel],
  "Encryption PW Salt": [String, (info) => info.encryptionPasswordSalt],

  "Journal features": [words, (info) => info.journal?.features],
  "Total journal size": [
    (value) => Number(value.replace(/k$/, "")) * 1024,
    (info) => info.journal?.sizeBytes,
  ],
  "Total journal blocks": [number, (info) => info.journal?.blockCount],
  "Max transaction length": [number, (info) => info.journal?.maximumTransactionBlocks],
  "Fast commit length": [number, (info) => info.journal?.fastCommitBlocks],
  "Journal sequence": [Number, (info) => info.journal?.sequence],
  "Journal start": [number, (info) => info.journal?.start],
  "Journal checksum type": [String, (info) => info.journal?.checksumType],
  "Journal checksum": [String, (info) => info.journal?.checksum],

  "MMP_block": [() => true, (info) => info.mmp !== null],
  "mmp_magic": [() => true, (info) => info.mmp?.error === undefined],
  "mmp_check_interval": [number, (info) => info.mmp?.checkIntervalSeconds],
  "mmp_sequence": [String, (info) => info.mmp?.sequence],
  "mmp_update_date": [time, (info) => info.mmp?.updated],
  "mmp_update_time": [
    (value) => Number(value) * 1000,
    (info) => Date.parse(String(info.mmp?.updated)),
  ],
  "mmp_node_name": [String, (info) => info.mmp?.nodeName],
  "mmp_device_name": [String, (info) => info.mmp?.deviceName],
};

/** dumpe2fs rounds these. */
const ROUNDED: Record<string, Read> = { "Lifetime writes": (info) => info.lifetimeWritesKib };

const IMAGES: Record<string, readonly string[]> = {
  ext2: ["-t", "ext2", "-L", "a label"],
  "ext2 revision 0": ["-t", "ext2", "-r", "0", "-O", "none"],
  ext3: ["-t", "ext3", "-e", "remount-ro", "-m", "0"],
  ext4: ["-t", "ext4", "-E", "stride=4,stripe-width=16,root_owner=1:2"],
  "ext4 of 1 KiB blocks": ["-t", "ext4", "-b", "1024", "-O", "fast_commit,orphan_file"],
  "ext4 with clusters": ["-t", "ext4", "-O", "bigalloc", "-C", "16384"],
  "ext4 with sparse_super2": ["-t", "ext4", "-b", "1024", "-O", "sparse_super2,metadata_csum_seed"],
  "ext4 with mmp and quota": ["-t", "ext4", "-O", "mmp,quota,project", "-E", "quotatype=usrquota"],
  "ext4 with casefold": ["-t", "ext4", "-O", "casefold,encrypt"],
  "ext4 without checksums": ["-t", "ext4", "-O", "^metadata_csum,^64bit,meta_bg,^resize_inode"],
};

for (const [name, args] of Object.entries(IMAGES)) {
  Deno.test(`info tells of ${name} what dumpe2fs -h does`, async () => {
    if (!requires("e2fsprogs")) return;
    using folder = new TempDir();
    const image = folder.join("image");
    await run("mke2fs", ["-q", "-F", ...args, image, "48M"]);
    await compare(image);
  });
}

Deno.test("info tells of a checked and tuned file system what dumpe2fs -h does", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", image, "48M"]);
  const tuning = ["-c", "20", "-i", "30d", "-o", "journal_data_writeback,nobarrier,^acl"];
  await run("tune2fs", [...tuning, "-E", "mount_opts=discard", image]);
  await compare(image);
});

async function compare(image: string): Promise<void> {
  const { stdout } = await run("dumpe2fs", ["-h", image], { env: { TZ: "UTC", LC_ALL: "C" } });
  const info = await fuse4fsJson(["info", image]) as Info;
  let compared = 0;
  for (const line of stdout.split("\n").filter((line) => line !== "")) {
    const colon = line.indexOf(":");
    const label = line.slice(0, colon).trim();
    const value = line.slice(colon + 1).trim();
    if (label in ROUNDED) {
      assert.ok(ROUNDED[label](info) !== undefined, label);
      continue;
    }
    const field = FIELDS[label];
    assert.ok(field !== undefined, `info has nothing for "${line}"`);
    assert.deepEqual(field[1](info), field[0](value), label);
    compared++;
  }
  assert.ok(compared > 30, `only ${compared} fields compared`);
}

Deno.test("info in words names the state and survives a label of control characters", async () => {
  if (!requires("e2fsprogs")) return;
  using folder = new TempDir();
  const image = folder.join("image");
  await run("mke2fs", ["-q", "-F", "-t", "ext4", "-L", "a\x1b[2Jb", image, "8M"]);
  const { stdout, code } = await fuse4fs(["info", image]);
  assert.equal(code, 0);
  assert.match(stdout, /^ {2}State: +clean$/m);
  assert.match(stdout, /^ {2}Label: +a\\x1b\[2Jb$/m);
});
