/**
 * Reading a GPT (layout: disk/partition_table.ts). There are two copies of it, each with checksums;
 * the partitions come from the first if it is whole, and from the backup if not.
 */

import { viewOf } from "../sys/bytes.ts";
import { crc32 } from "../sys/node_builtins.ts";
import {
  GPT_SIGNATURE_HIGH,
  GPT_SIGNATURE_LOW,
  GptEntry as Entry,
  GptHeader as Header,
  Guid,
} from "../disk/partition_table.ts";
import { FsError } from "../sys/fs_error.ts";
import type { Device } from "./device.ts";
import type { Partition } from "./partition.ts";

/** The table counts in sectors, and does not say how large they are. */
const SECTOR_SIZES = [512, 4096] as const;
/** Far beyond the 128 entries of 128 bytes that partitioning programs make. */
const MAX_ENTRY_SIZE = 4096;
const MAX_TABLE_SIZE = 2 ** 20;

/** The entries of a table whose checksums are right. */
interface GptTable {
  readonly sectorSize: number;
  readonly view: DataView<ArrayBuffer>;
  readonly count: number;
  readonly entrySize: number;
}

/** The partitions of a device, or undefined when it has no GPT that is whole. */
export function gptPartitions(device: Device): Iterable<Partition> | undefined {
  // A backup counts only where no first copy is: on a disk that became larger it is out of place.
  const table = firstOf((sectorSize) => readTable(device, sectorSize, 1)) ??
    firstOf((sectorSize) => readTable(device, sectorSize, lastSector(device, sectorSize)));
  return table === undefined ? undefined : decodeEntries(table);
}

function firstOf(read: (sectorSize: number) => GptTable | undefined): GptTable | undefined {
  for (const sectorSize of SECTOR_SIZES) {
    const table = read(sectorSize);
    if (table !== undefined) return table;
  }
  return undefined;
}

function lastSector(device: Device, sectorSize: number): number {
  return Math.floor(device.size / sectorSize) - 1;
}

/** The table whose header is in a sector, or undefined when that is no sound header. */
function readTable(device: Device, sectorSize: number, lba: number): GptTable | undefined {
  const sector = readBytes(device, lba * sectorSize, sectorSize);
  if (sector === undefined || !isSoundHeader(sector, lba)) return undefined;
  const view = new DataView(sector.buffer);
  const count = Header.num_partition_entries.get(view, 0);
  const entrySize = Header.sizeof_partition_entry.get(view, 0);
  const isSoundSize = entrySize >= Entry.byteLength && entrySize <= MAX_ENTRY_SIZE &&
    entrySize % Entry.byteLength === 0;
  if (!isSoundSize || count * entrySize > MAX_TABLE_SIZE) return undefined;
  const position = Header.partition_entry_lba.get(view, 0) * sectorSize;
  const entries = readBytes(device, position, count * entrySize);
  if (entries === undefined) return undefined;
  if (crc32(entries) !== Header.partition_entry_array_crc32.get(view, 0)) return undefined;
  return { sectorSize, view: new DataView(entries.buffer), count, entrySize };
}

function isSoundHeader(sector: Uint8Array<ArrayBuffer>, lba: number): boolean {
  const view = new DataView(sector.buffer);
  if (
    Header.signature_low.get(view, 0) !== GPT_SIGNATURE_LOW ||
    Header.signature_high.get(view, 0) !== GPT_SIGNATURE_HIGH
  ) return false;
  const size = Header.header_size.get(view, 0);
  if (size < Header.byteLength || size > sector.length) return false;
  const header = sector.slice(0, size);
  Header.header_crc32.set(new DataView(header.buffer), 0, 0);
  return crc32(header) === Header.header_crc32.get(view, 0) && Header.my_lba.get(view, 0) === lba;
}

/** Undefined for what is not within the device, or cannot be read: the other copy may be. */
function readBytes(
  device: Device,
  position: number,
  length: number,
): Uint8Array<ArrayBuffer> | undefined {
  if (position < 0 || position + length > device.size) return undefined;
  const bytes = new Uint8Array(length);
  try {
    device.read(bytes, position);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    return undefined;
  }
  return bytes;
}

function* decodeEntries({ sectorSize, view, count, entrySize }: GptTable): Generator<Partition> {
  for (let index = 0; index < count; index++) {
    const at = index * entrySize;
    const guid = Entry.partition_type_guid.get(view, at);
    if (guid.every((byte) => byte === 0)) continue;
    const start = Entry.starting_lba.get(view, at) * sectorSize;
    const end = (Entry.ending_lba.get(view, at) + 1) * sectorSize;
    const name = decodeName(Entry.partition_name.get(view, at));
    yield {
      number: index + 1,
      start,
      size: end - start,
      type: formatGuid(guid),
      ...(name === "" ? {} : { name }),
    };
  }
}

function decodeName(bytes: Uint8Array<ArrayBuffer>): string {
  const [name] = new TextDecoder("utf-16le").decode(bytes).split("\0");
  return name;
}

function formatGuid(bytes: Uint8Array<ArrayBuffer>): string {
  const view = viewOf(bytes);
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  const rest = Guid.rest.get(view, 0).toHex();
  return [
    hex(Guid.time_low.get(view, 0), 8),
    hex(Guid.time_mid.get(view, 0), 4),
    hex(Guid.time_hi.get(view, 0), 4),
    rest.slice(0, 4),
    rest.slice(4),
  ].join("-").toUpperCase();
}
