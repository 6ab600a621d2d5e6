/**
 * How long processors may take to wake up.
 *
 * A client sleeps while its request is answered, and its processor with it. In a virtual machine a
 * processor that sleeps was given back to the host, and to wake it takes longer than most requests
 * do. While requests come one after the other, the kernel is therefore asked to let processors that
 * have nothing to do wait awake (PM QoS, Documentation/power/pm_qos_interface.rst). The wish ends
 * with the descriptor, and so with the server, however that happens.
 */

import { FsError } from "../sys/fs_error.ts";
import { close, O_WRONLY, open, write } from "../sys/files.ts";
import type { Log } from "../sys/log.ts";

/** Microseconds. `auto`: 0 in a virtual machine whose processors can wait awake, off elsewhere. */
export type WakeLatencySetting = number | "off" | "auto";

const DEVICE = "/dev/cpu_dma_latency";
const IDLE_DRIVER = "/sys/devices/system/cpu/cpuidle/current_driver";
/** Documentation/virt/guest-halt-polling.rst */
const GUEST_DRIVER = "haltpoll";

export class WakeLatency implements Disposable {
  readonly #log: Log;
  readonly #device: string;
  #setting: WakeLatencySetting;
  #fd: number | undefined;

  constructor(setting: WakeLatencySetting, log: Log, device = DEVICE) {
    this.#setting = setting;
    this.#log = log;
    this.#device = device;
  }

  /** The kernel knows the wish. */
  get isHeld(): boolean {
    return this.#fd !== undefined;
  }

  /** Requests come one after the other. Costs next to nothing when it is known. */
  hold(): void {
    if (this.#setting === "off" || this.#fd !== undefined) return;
    if (this.#setting === "auto" && idleDriver() !== GUEST_DRIVER) {
      this.#setting = "off";
      return;
    }
    const microseconds = this.#setting === "auto" ? 0 : this.#setting;
    try {
      this.#fd = open(this.#device, O_WRONLY);
      write(this.#fd, new Uint8Array(new Int32Array([microseconds]).buffer));
    } catch (error) {
      if (!(error instanceof FsError)) throw error;
      this.#giveUp(error);
    }
  }

  /** Nobody asks for anything. */
  release(): void {
    if (this.#fd !== undefined) close(this.#fd);
    this.#fd = undefined;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  /** Only who asked for it by name is to hear that it cannot be had. */
  #giveUp(error: FsError): void {
    const message = `processors sleep as they like: ${error.message}`;
    if (this.#setting === "auto") this.#log.debug(message);
    else this.#log.warn(`wake_latency: ${message}`);
    this.release();
    this.#setting = "off";
  }
}

/** What waits awake by default here, and why not, if so. */
export function wakingFacts(): { readonly isGuest: boolean; readonly isAllowed: boolean } {
  return { isGuest: idleDriver() === GUEST_DRIVER, isAllowed: isWritable(DEVICE) };
}

function isWritable(path: string): boolean {
  try {
    close(open(path, O_WRONLY));
    return true;
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return false;
  }
}

function idleDriver(): string | undefined {
  try {
    return Deno.readTextFileSync(IDLE_DRIVER).trim();
  } catch {
    return undefined;
  }
}
