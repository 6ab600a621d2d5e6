/**
 * A virtual machine with Debian's kernel 6.12, for what the kernel of the host lacks. Its root is
 * the root of the host, read-only: every program and file of the host is there under its own path.
 * /mnt, /run, /var/tmp and /dev/shm are empty and can be written to. tests/vm/README.md has more.
 */

import { run, TempDir } from "./run.ts";
import { collectModules } from "./vm_modules.ts";
import {
  fetchVmPackages,
  libraryPath,
  PackagesUnavailable,
  type VmPackages,
} from "./vm_packages.ts";

/** The host's root comes over 9p. */
const ROOT_MODULES = ["9pnet_virtio", "9p"];
/** For `disks`, and to mount ext4 with all its features. */
export const EXT4_MODULES = ["virtio_blk", "crc32c_generic", "ext4", "quota_v2"];

const INIT = new URL("../vm/init.sh", import.meta.url).pathname;

export interface VmOptions {
  /** Modules of the kernel to load before the script runs, besides those for the root. */
  readonly modules?: readonly string[];
  /** Images that the guest has, and may write to, as /dev/vda, /dev/vdb and so on. */
  readonly disks?: readonly string[];
  /** Longest time for all of it. */
  readonly seconds?: number;
}

export interface VmResult {
  /** Exit code of the script. */
  readonly code: number;
  /** What the script wrote to standard output. */
  readonly stdout: string;
  /** What the kernel said, and what the script wrote to standard error. */
  readonly console: string;
}

export class Vm {
  readonly #packages: VmPackages;

  private constructor(packages: VmPackages) {
    this.#packages = packages;
  }

  /** As `uname -r` says it in the guest. */
  get kernelRelease(): string {
    return this.#packages.kernelRelease;
  }

  /**
   * The machine, or undefined when its packages are not to be had: then the test is skipped and
   * says why. In continuous integration it fails. Begin a test with
   * `const vm = await Vm.prepare(); if (vm === undefined) return;`
   */
  static async prepare(): Promise<Vm | undefined> {
    try {
      return new Vm(await fetchVmPackages());
    } catch (error) {
      if (!(error instanceof PackagesUnavailable)) throw error;
      const words = `needs the packages of the virtual machine: ${error.message}`;
      if (Deno.env.get("CI") === "true") throw new Error(words);
      console.log(`skipped: ${words}`);
      return undefined;
    }
  }

  /** What the machine is made of, to build modules for its kernel. */
  get packages(): VmPackages {
    return this.#packages;
  }

  /**
   * Boots, runs a shell script as root, and returns when the machine is off. Throws when there is
   * no result: the guest did not boot, the kernel failed, or time was over.
   */
  async run(script: string, options: VmOptions = {}): Promise<VmResult> {
    using folder = new TempDir();
    const initramfs = await this.#makeInitramfs(folder, script, options.modules ?? []);
    const output = folder.join("output");
    const child = new Deno.Command(`${this.#packages.root}/usr/bin/qemu-system-x86_64`, {
      args: this.#qemuArguments(initramfs, output, options.disks ?? []),
      env: { LD_LIBRARY_PATH: libraryPath(this.#packages) },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const seconds = options.seconds ?? 240;
    const timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
    const { code, signal, stdout, stderr } = await child.output();
    clearTimeout(timer);
    const console = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    if (signal !== null || code % 2 === 0) {
      const how = signal === null ? "without a result" : `by ${signal} (${seconds} s at most)`;
      const said = `${readIfThere(output).slice(-2000)}\n${console.slice(-4000)}`;
      throw new Error(`The virtual machine ended ${how}:\n${said}`);
    }
    return { code: (code - 1) / 2, stdout: Deno.readTextFileSync(output), console };
  }

  #qemuArguments(initramfs: string, output: string, disks: readonly string[]): string[] {
    const { root, kernelRelease } = this.#packages;
    return [
      // Software alone: the same wherever the test runs.
      ...["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "2G"],
      ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
      ...["-L", `${root}/usr/share/seabios`, "-L", `${root}/usr/share/qemu`],
      ...["-kernel", `${root}/boot/vmlinuz-${kernelRelease}`, "-initrd", initramfs],
      ...["-append", "console=ttyS0 quiet panic=-1"],
      ...["-serial", "stdio", "-serial", `file:${output}`],
      ...["-device", "isa-debug-exit,iobase=0x501,iosize=1"],
      "-fsdev",
      "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
      ...["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"],
      ...disks.flatMap((path, index) => [
        ...["-drive", `file=${path},format=raw,if=none,id=disk${index}`],
        ...["-device", `virtio-blk-pci,drive=disk${index}`],
      ]),
    ];
  }

  /** The first root of the guest: init, busybox, the modules, and the script. */
  async #makeInitramfs(
    folder: TempDir,
    script: string,
    modules: readonly string[],
  ): Promise<string> {
    const root = folder.mkdir("initramfs");
    for (const name of ["bin", "dev", "host", "modules"]) Deno.mkdirSync(`${root}/${name}`);
    const busybox = `${this.#packages.root}/bin/busybox`;
    Deno.copyFileSync(busybox, `${root}/bin/busybox`);
    Deno.copyFileSync(INIT, `${root}/init`);
    Deno.chmodSync(`${root}/init`, 0o755);
    Deno.writeTextFileSync(`${root}/script`, script);
    const collected = await collectModules(this.#packages, [...ROOT_MODULES, ...modules]);
    for (const { name, image } of collected) {
      Deno.writeFileSync(`${root}/modules/${name}.ko`, image);
    }
    const order = collected.map(({ name }) => `${name}\n`).join("");
    Deno.writeTextFileSync(`${root}/modules/order`, order);
    const archive = folder.join("initramfs.cpio");
    await run("sh", [
      ...["-c", 'cd "$1" && "$2" find . | "$2" cpio -o -H newc >"$3" 2>/dev/null', "sh"],
      ...[root, busybox, archive],
    ]);
    return archive;
  }
}

function readIfThere(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
