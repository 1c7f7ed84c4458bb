import { BusError } from '@arqonbus/protocol';
import type { Expectation } from './engine.ts';

/** Where a stream stands, as a publication that expects something of it is told. */
export interface Standing {
  readonly sequence: number;
  readonly epoch: string;
  /** The id of its last event; null when it never had one, or none is known. */
  readonly lastId: string | null;
}

/** Whether a stream stands where a publication expects it. */
export function meets(expect: Expectation, { sequence, epoch, lastId }: Standing): boolean {
  if ('lastId' in expect) return expect.lastId === lastId;
  return expect.sequence === sequence && (expect.epoch === undefined || expect.epoch === epoch);
}

/** What a publication is refused with whose expectation does not hold. */
export function conflict({ sequence, epoch, lastId }: Standing): BusError {
  return new BusError(
    'CONFLICT',
    `The stream stands at sequence ${sequence}, not where "expect" says; read what is new, then publish with that position.`,
    { sequence, epoch, ...(lastId === null ? {} : { last_id: lastId }) },
  );
}
