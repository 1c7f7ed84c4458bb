import { BackupFault, type BackupRecord, BackupTally, idOf, parseRecord, type StreamRecord } from './record.ts';

/** Maximum UTF-8 bytes per line. */
const LONGEST_LINE = 64 * 1_048_576;

/** A record with its line number, from 1. */
export interface NumberedRecord {
  readonly line: number;
  readonly record: BackupRecord;
}

/** The lines of a file, in bounded memory: a line of more than `longest` bytes (64 MiB) is rejected. */
async function* linesOf(chunks: AsyncIterable<Uint8Array>, longest: number): AsyncGenerator<string> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  let line = 1;
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (): string => {
    try {
      return decoder.decode(Buffer.concat(pieces));
    } catch {
      throw new BackupFault(`Line ${line} is not UTF-8: this is not a backup, or it was damaged.`);
    }
  };
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; ) {
      const end = chunk.indexOf(0x0a, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      pieces.push(piece);
      length += piece.length;
      if (length > longest) throw new BackupFault(`Line ${line} has more than ${longest} bytes: this is not a backup.`);
      from += piece.length + 1;
      if (end < 0) continue;
      yield decode();
      pieces = [];
      length = 0;
      line += 1;
    }
  }
  if (length > 0) yield decode();
}

/**
 * Reads a backup line by line. Throws {@link BackupFault} naming the line if it is not a backup, is from a newer
 * release, was changed, or is truncated. Changes and truncation are detected only at the end: records yielded before
 * may be part of such a file.
 */
export async function* readBackup(
  chunks: AsyncIterable<Uint8Array>,
  longest: number = LONGEST_LINE,
): AsyncGenerator<NumberedRecord> {
  const tally = new BackupTally();
  const order = new RecordOrder();
  let line = 0;
  for await (const text of linesOf(chunks, longest)) {
    line += 1;
    try {
      const record = parseRecord(text);
      order.check(record);
      if (record.kind === 'end') {
        const expected = tally.end();
        if (JSON.stringify(record) !== JSON.stringify(expected)) throw new BackupFault('lines before it were changed');
      } else tally.add(record);
      yield { line, record };
    } catch (error) {
      if (!(error instanceof BackupFault)) throw error;
      throw new BackupFault(
        line === 1
          ? `Line 1 is not how a backup begins (${error.message}): choose a file that "arqon backup" wrote.`
          : `Line ${line} cannot be used: ${error.message}. The file was damaged or changed: use another backup.`,
      );
    }
  }
  if (line === 0) throw new BackupFault('The file is empty: choose one that "arqon backup" wrote.');
  if (!order.isComplete) {
    throw new BackupFault(`The backup was cut off after line ${line}: its last line is missing. Use another backup.`);
  }
}

/** Checks which record may follow which. */
class RecordOrder {
  isComplete = false;
  #isBegun = false;
  #hasSpace = false;
  #stream: StreamRecord | null = null;
  #sequence = 0;

  check(record: BackupRecord): void {
    if (this.isComplete) throw new BackupFault('it comes after the end');
    if (!this.#isBegun && record.kind !== 'arqonbus-backup') throw new BackupFault('it is another kind of line');
    switch (record.kind) {
      case 'arqonbus-backup':
        if (this.#isBegun) throw new BackupFault('a backup begins in the middle of another');
        this.#isBegun = true;
        return;
      case 'space':
        this.#hasSpace = true;
        return;
      case 'key':
        if (!this.#hasSpace) throw new BackupFault('a key has no space before it');
        return;
      case 'stream':
        this.#stream = record;
        this.#sequence = 0;
        return;
      case 'event':
        if (this.#stream === null) throw new BackupFault('an event has no stream before it');
        if (this.#sequence > 0 && record.sequence !== this.#sequence + 1) {
          throw new BackupFault(`sequence: ${record.sequence} does not follow ${this.#sequence}`);
        }
        idOf(record, this.#stream);
        this.#sequence = record.sequence;
        return;
      case 'end':
        this.isComplete = true;
    }
  }
}
