import { readRecord } from './ledger-record.ts';
import { Ranges } from './ranges.ts';

/** How far a group is in one stream, as its record tells. */
export interface Progress {
  readonly epoch: string;
  /** All up to here is settled. */
  readonly floor: number;
  /** What is settled above it. */
  readonly settled: Ranges;
}

/** What the record of a group's ledger tells of one channel; null when it tells nothing. */
export function readProgress(record: string, name: string): Progress | null {
  for (const { channel, floor, epoch, settled } of readRecord(record).streams) {
    if (channel === name) return { epoch, floor, settled: new Ranges(settled) };
  }
  return null;
}
