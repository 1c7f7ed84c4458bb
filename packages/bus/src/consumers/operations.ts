import type { Position } from '@arqonbus/protocol';
import { BusError } from '@arqonbus/protocol';
import type { Answer, Answered } from './answer.ts';
import type { ListedLetter } from './dead-letters.ts';
import type { Driver } from './driver.ts';
import type { DriverInfo } from './driver-info.ts';

/** Operations of the node that drives a group: arguments and results are JSON, on whichever node. */
export interface Operations {
  answer: { args: Answer; result: Answered };
  pull: {
    /** `isAgain`: a retry of a request with an unknown outcome. */
    args: { who: string; limit: number; waitMs: number; isAgain?: boolean };
    result: { texts: string[]; pending: number };
  };
  cancel: { args: { who: string }; result: null };
  info: { args: null; result: DriverInfo };
  /** Number of members. */
  members: { args: null; result: number };
  /** Sends a text to one member, without a lease; false when there is none. */
  handLive: { args: { text: string }; result: boolean };
  seek: { args: { positions: Readonly<Record<string, Position>> }; result: null };
  deadLetters: {
    args: { limit: number; after: string | undefined };
    result: { letters: ListedLetter[]; next: string | null };
  };
  retry: { args: { ids?: readonly string[] | undefined; keys?: readonly string[] | undefined }; result: number };
}

export type OperationName = keyof Operations;

type Serve = {
  [N in OperationName]: (
    driver: Driver,
    args: Operations[N]['args'],
    isFar: boolean,
  ) => Promise<Operations[N]['result']>;
};

const SERVE: Serve = {
  answer: (driver, answer, isFar) => driver.answer(answer, isFar),
  pull: (driver, { who, limit, waitMs, isAgain }) => driver.pull(who, limit, waitMs, isAgain),
  cancel: async (driver, { who }) => {
    driver.cancelPull(who);
    return null;
  },
  info: (driver) => driver.info(),
  members: async (driver) => driver.members.size,
  handLive: async (driver, { text }) => driver.members.handLive(text),
  seek: async (driver, { positions }) => {
    await driver.seek(positions);
    return null;
  },
  deadLetters: (driver, { limit, after }) => driver.deadLetters.list(limit, after),
  retry: (driver, { ids, keys }) => driver.retry(ids, keys),
};

/** Runs one operation on this node's driver, for this node or (`isFar`) for another. */
export function operate<N extends OperationName>(
  driver: Driver,
  name: N,
  args: Operations[N]['args'],
  isFar: boolean,
): Promise<Operations[N]['result']> {
  return SERVE[name](driver, args, isFar);
}

/** The driver is on another node than expected, or not ready; a retry helps. */
export function notDriven(): BusError {
  return new BusError('STORAGE_UNAVAILABLE', 'No node of the cluster looks after this group at the moment; try again.');
}
