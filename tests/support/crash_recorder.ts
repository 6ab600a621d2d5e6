/**
 * What media may hold after a crash. Devices in memory put down every write and flush in one common
 * order; `Media` goes through that order and makes up the images of a crash at any point of it: all
 * writes up to the last flush of their device, and of the later ones any part, in sectors.
 *
 *     fs  w w w F . . w . w F          a crash here may leave, of the last writes to each device,
 *     log . . . . w w . F w . w        all, nothing, the first sectors, or any of their sectors
 *                         ^ crash
 *
 * One thing is taken to be written as a whole, as the kernel takes it, too: the superblock of 1 KiB,
 * whose checksum lies in its second sector.
 */

import type { DataSource, Device } from "../../src/block/device.ts";
import { MemoryDevice } from "../../src/block/memory_device.ts";
import type { Random } from "./random.ts";

export type Image = Uint8Array<ArrayBuffer>;

export interface CrashWrite {
  readonly kind: "write";
  /** Index of the device. */
  readonly device: number;
  readonly position: number;
  readonly bytes: Image;
}

export type CrashEvent = CrashWrite | { readonly kind: "flush"; readonly device: number };

/** What became of the writes that were not flushed. */
export type Fate =
  /** None reached the medium. */
  | "none"
  /** All did. */
  | "all"
  /** Some did, whole. */
  | "some"
  /** Of each, some sectors from its start. */
  | "torn"
  /** Of each, any sectors. */
  | "scattered";

const SECTOR = 512;
/** The sectors of the superblock. */
const SUPERBLOCK_SECTORS: readonly number[] = [2, 3];

/** Devices that share one record. The first has the file system. */
export class CrashRecorder {
  readonly events: CrashEvent[] = [];
  readonly devices: readonly Device[];
  readonly before: readonly Image[];

  /** @param images are not changed */
  constructor(...images: readonly Image[]) {
    this.before = images;
    this.devices = images.map((image, device) => new Recorded(image, device, this.events));
  }

  /** What the devices hold now. */
  get now(): Image[] {
    return this.devices.map((device) => (device as Recorded).current.bytes.slice());
  }
}

class Recorded implements Device {
  readonly name: string;
  readonly size: number;
  readonly readOnly = false;
  readonly current: MemoryDevice;
  readonly #device: number;
  readonly #events: CrashEvent[];

  constructor(image: Image, device: number, events: CrashEvent[]) {
    this.name = `recorded${device}`;
    this.size = image.length;
    this.current = new MemoryDevice(image.slice(), this.name);
    this.#device = device;
    this.#events = events;
  }

  read(buffer: Image, position: number): void {
    this.current.read(buffer, position);
  }

  write(buffer: Image, position: number): void {
    this.current.write(buffer, position);
    const bytes = buffer.slice();
    this.#events.push({ kind: "write", device: this.#device, position, bytes });
  }

  flush(): void {
    this.#events.push({ kind: "flush", device: this.#device });
  }

  source(position: number, length: number): DataSource {
    return this.current.source(position, length);
  }

  willRead(): void {}

  close(): void {}
}

export class Media {
  readonly #events: readonly CrashEvent[];
  /** What was flushed. */
  readonly #durable: Image[];
  #pending: CrashWrite[] = [];
  #index = 0;

  constructor(before: readonly Image[], events: readonly CrashEvent[]) {
    this.#events = events;
    this.#durable = before.map((image) => image.slice());
  }

  /** Goes on to the point in front of event `index`. */
  goTo(index: number): void {
    if (index < this.#index) throw new Error("a record is gone through forwards");
    for (; this.#index < index; this.#index++) {
      const event = this.#events[this.#index];
      if (event.kind === "write") this.#pending.push(event);
      else this.#flush(event.device);
    }
  }

  /** Writes that were not flushed. */
  get pending(): number {
    return this.#pending.length;
  }

  /** The images after a crash here; the caller's own. */
  crash(fate: Fate, random: Random): Image[] {
    const images = this.#durable.map((image) => image.slice());
    for (const write of this.#pending) apply(images[write.device], write, fate, random);
    return images;
  }

  #flush(device: number): void {
    for (const write of this.#pending) {
      if (write.device === device) this.#durable[device].set(write.bytes, write.position);
    }
    this.#pending = this.#pending.filter((write) => write.device !== device);
  }
}

function apply(image: Image, write: CrashWrite, fate: Fate, random: Random): void {
  const { bytes, position } = write;
  if (fate === "none" || (fate === "some" && random.oneIn(2))) return;
  if (fate === "all" || fate === "some") {
    image.set(bytes, position);
    return;
  }
  const first = Math.floor(position / SECTOR);
  const end = Math.ceil((position + bytes.length) / SECTOR);
  const stop = first + random.below(end - first + 1);
  const takesSuperblock = random.oneIn(2);
  for (let sector = first; sector < end; sector++) {
    const isOfSuperblock = write.device === 0 && SUPERBLOCK_SECTORS.includes(sector);
    const isTaken = isOfSuperblock
      ? takesSuperblock
      : fate === "torn"
      ? sector < stop
      : random.oneIn(2);
    if (!isTaken) continue;
    const from = Math.max(position, sector * SECTOR);
    const to = Math.min(position + bytes.length, (sector + 1) * SECTOR);
    image.set(bytes.subarray(from - position, to - position), from);
  }
}
