import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { CountenanceError, writeError } from '../../errors.js';
import { Message } from '../../protobuf.js';
import { maskedCrc32c } from './crc32c.js';

/** An image of an event, encoded as PNG. */
export interface EventImage {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Makes the names of files created in the same second differ. */
let fileCount = 0;

/**
 * TensorBoard's event file: TFRecords of Event messages (tensorflow/core/util/event.proto and
 * framework/summary.proto; the numbers below are their fields).
 */
export class EventFile {
  private constructor(
    readonly path: string,
    private handle: FileHandle | undefined,
  ) {}

  /**
   * Makes a new file in a directory, which is created if it does not exist.
   *
   * @param purgeStep discards what earlier files of the directory say of this and later steps: for a
   *   run that continues from a checkpoint
   * @throws CountenanceError ERR_WRITE
   */
  static async create(directory: string, purgeStep?: number): Promise<EventFile> {
    const seconds = Math.floor(Date.now() / 1000);
    const host = hostname().replace(/[^\w.-]/g, '_');
    const name = `events.out.tfevents.${seconds}.${host}.${process.pid}.${fileCount++}`;
    const path = join(directory, name);
    try {
      await mkdir(directory, { recursive: true });
      const file = new EventFile(path, await open(path, 'wx'));
      await file.write(eventAt(0).string(3, 'brain.Event:2')); // file_version
      if (purgeStep !== undefined) {
        const sessionLog = new Message().int(1, 1); // status: START
        await file.write(eventAt(purgeStep).message(7, sessionLog));
      }
      return file;
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** The numbers of a step by tag. */
  async scalars(step: number, values: Readonly<Record<string, number>>): Promise<void> {
    const summary = new Message();
    for (const [tag, value] of Object.entries(values)) {
      summary.message(1, new Message().string(1, tag).float(2, value));
    }
    await this.write(eventAt(step).message(5, summary));
  }

  /** An image of a step. */
  async image(step: number, tag: string, { png, width, height }: EventImage): Promise<void> {
    const rgb = 3;
    const image = new Message().int(1, height).int(2, width).int(3, rgb).bytes(4, png);
    const value = new Message().string(1, tag).message(4, image);
    await this.write(eventAt(step).message(5, new Message().message(1, value)));
  }

  /** Can be called more than once. */
  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    await handle?.close();
  }

  private async write(event: Message): Promise<void> {
    if (!this.handle) throw new CountenanceError('ERR_CLOSED', 'The log was used after close()');
    try {
      await this.handle.appendFile(encodeRecord(Buffer.concat(event.pieces())));
    } catch (error) {
      throw writeError(this.path, error);
    }
  }
}

/** An event with the current time, still without content. */
function eventAt(step: number): Message {
  return new Message().double(1, Date.now() / 1000).int(2, step);
}

/** A TFRecord: length (uint64), CRC of the length, data, CRC of the data; little-endian. */
function encodeRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(data.length + 16);
  record.writeBigUInt64LE(BigInt(data.length));
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return record;
}
