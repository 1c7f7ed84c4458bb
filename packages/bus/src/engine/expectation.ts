import { BusError } from '@arqonbus/protocol';
import type { Expectation } from './engine.ts';

/** A stream's position, as reported to a publication whose expectation failed. */
export interface Standing {
  readonly sequence: number;
  readonly epoch: string;
  /** The id of its last event; null when it never had one, or none is known. */
  readonly lastId: string | null;
}

/** Whether a stream is at the position a publication expects. */
export function meets(expect: Expectation, { sequence, epoch, lastId }: Standing): boolean {
  if ('lastId' in expect) return expect.lastId === lastId;
  return expect.sequence === sequence && (expect.epoch === undefined || expect.epoch === epoch);
}

/** The error for a publication whose expectation does not hold. */
export function conflict({ sequence, epoch, lastId }: Standing): BusError {
  return new BusError(
    'CONFLICT',
    `The stream stands at sequence ${sequence}, not where "expect" says; read what is new, then publish with that position.`,
    { sequence, epoch, ...(lastId === null ? {} : { last_id: lastId }) },
  );
}
