/** What is mounted: /proc/self/mountinfo (proc_pid_mountinfo(5)). */

/** One mount. */
export interface MountInfo {
  /** Device number as the kernel writes it, `8:1`. */
  readonly device: string;
  readonly mountpoint: string;
  /** Options of the mount and of the file system. */
  readonly options: readonly string[];
  /** File system type, with FUSE's subtype: `fuse.fuse4fs`. */
  readonly type: string;
  /** The mount's own name for what is mounted, often a path. */
  readonly source: string;
}

/** Types of the servers whose source is the image: ours and the one we take over from. */
const IMAGE_SERVER = /^fuse(blk)?\.(fuse4fs|fuse2fs)$/;
const OWN_SERVER = /^fuse(blk)?\.fuse4fs$/;

/** All mounts that this process sees, a later one over an earlier one. */
export function readMounts(text = Deno.readTextFileSync("/proc/self/mountinfo")): MountInfo[] {
  return text.split("\n").filter((line) => line !== "").map(parseMount);
}

/** The mount that is to be seen at a path, or undefined. */
export function mountAt(mountpoint: string): MountInfo | undefined {
  return readMounts().findLast((mount) => mount.mountpoint === mountpoint);
}

/** True for a mount of fuse4fs. */
export function isOwnMount(mount: MountInfo): boolean {
  return OWN_SERVER.test(mount.type);
}

/** True for a mount whose source is the path of an ext4 image or device. */
export function servesImage(mount: MountInfo): boolean {
  return IMAGE_SERVER.test(mount.type) && mount.source.startsWith("/");
}

export function isReadOnly(mount: MountInfo): boolean {
  return mount.options.includes("ro");
}

/** `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue` */
function parseMount(line: string): MountInfo {
  const fields = line.split(" ");
  const separator = fields.indexOf("-", 6);
  return {
    device: fields[2],
    mountpoint: unescapeField(fields[4]),
    options: [...fields[5].split(","), ...(fields[separator + 3] ?? "").split(",")],
    type: unescapeField(fields[separator + 1]),
    source: unescapeField(fields[separator + 2]),
  };
}

/** The kernel writes space, tab, newline and backslash as `\040` and so on. */
function unescapeField(field: string): string {
  return field.replaceAll(
    /\\([0-7]{3})/g,
    (_, octal) => String.fromCharCode(parseInt(octal, 8)),
  );
}
