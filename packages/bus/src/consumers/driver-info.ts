import type { Position } from '@arqonbus/protocol';
import type { Ledger } from './ledger.ts';
import type { Sources } from './sources.ts';
import type { Settlement } from './totals.ts';

/** The state of a group, as reported by its driver. */
export interface DriverInfo {
  /** By channel: all events up to there are settled. */
  readonly positions: Readonly<Record<string, Position>>;
  /** Events that are not leased: unread ones, and those that wait for another attempt. */
  readonly pending: number;
  readonly unacked: number;
  /** Age of the oldest unsettled event; null without one. */
  readonly oldest_ms: number | null;
  readonly members: number;
  readonly dead_letters: number;
  readonly counts: Readonly<Record<Settlement, number>>;
}

interface Measured {
  readonly ledger: Ledger;
  readonly sources: Sources;
  readonly members: number;
  readonly deadLetters: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Measures a group. Rejects with STORAGE_UNAVAILABLE. */
export async function infoOf({ ledger, sources, members, deadLetters, now }: Measured): Promise<DriverInfo> {
  const { unread, heads } = await sources.measure();
  const positions: Record<string, Position> = Object.create(null);
  for (const { channel, floor, epoch } of ledger.streams.values()) {
    positions[channel] = { sequence: floor, epoch: epoch === '' ? (heads.get(channel)?.epoch ?? '') : epoch };
  }
  return {
    positions,
    pending: unread + ledger.size - ledger.out,
    unacked: ledger.out,
    oldest_ms: await sources.age(now),
    members,
    dead_letters: deadLetters,
    counts: { ...ledger.counts },
  };
}

/** Number of events that are not leased. Rejects with STORAGE_UNAVAILABLE. */
export async function pendingOf(ledger: Ledger, sources: Sources): Promise<number> {
  const { unread } = await sources.measure();
  return unread + ledger.size - ledger.out;
}
