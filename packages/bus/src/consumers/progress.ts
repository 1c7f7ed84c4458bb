import { readRecord } from './ledger-record.ts';
import { Ranges } from './ranges.ts';

/** Progress of a group in one stream, according to its record. */
export interface Progress {
  readonly epoch: string;
  /** All events up to here are settled. */
  readonly floor: number;
  /** Settled events above the floor. */
  readonly settled: Ranges;
}

/** The progress in one channel from the record of a group's ledger; null when it is not in the record. */
export function readProgress(record: string, name: string): Progress | null {
  for (const { channel, floor, epoch, settled } of readRecord(record).streams) {
    if (channel === name) return { epoch, floor, settled: new Ranges(settled) };
  }
  return null;
}
