import type { AnswerKind } from './answered.ts';
import type { OwedReceipt } from './receipts-owed.ts';
import type { Settlement } from './totals.ts';

type EntryRecord = [
  sequence: number,
  attempts: number,
  state: 'out' | 'waiting' | 'dead',
  leftMs: number,
  /** Without the group id that it begins with. */
  token: string,
  /** Its index in the record's members. */
  member: number,
  key: string | null,
  reason: string | null,
];
type RangeRecord = readonly [from: number, to: number];
type StreamRecord = [string, number, string, readonly RangeRecord[], EntryRecord[]];
type UntoldRecord = readonly [channel: string, lost: number];
type AnsweredRecord = readonly [token: string, kind: AnswerKind];

interface LedgerRecord {
  readonly group: string;
  readonly counts: Readonly<Record<Settlement, number>>;
  readonly receipts?: readonly OwedReceipt[];
  readonly untold?: readonly UntoldRecord[];
  readonly answered?: readonly AnsweredRecord[];
  readonly members?: readonly string[];
  readonly streams: readonly StreamRecord[];
}

/** An unsettled event in a ledger. */
interface EntryToWrite {
  readonly sequence: number;
  readonly attempts: number;
  readonly state: 'ready' | 'out' | 'waiting' | 'dead' | 'gone';
  readonly due: number;
  readonly token: string;
  readonly member: string;
  readonly key: string | null;
  readonly reason: string | null;
  /** Not null for an event that the record omits. */
  readonly revived: string | null;
}

interface StreamToWrite {
  readonly channel: string;
  readonly floor: number;
  readonly epoch: string;
  readonly settled: { readonly all: readonly RangeRecord[] };
  readonly entries: ReadonlyMap<number, EntryToWrite>;
  /** Its part of the record, cached while unchanged. */
  record: string | null;
}

export interface LedgerToWrite {
  readonly group: string;
  readonly counts: Readonly<Record<Settlement, number>>;
  readonly receipts: Iterable<OwedReceipt>;
  readonly untold: Iterable<UntoldRecord>;
  readonly answered: readonly AnsweredRecord[];
  readonly streams: Iterable<StreamToWrite>;
}

interface ReadEntry extends Pick<EntryToWrite, 'sequence' | 'attempts' | 'token' | 'member' | 'key' | 'reason'> {
  readonly state: 'out' | 'waiting' | 'dead';
  /** The time left when it was written. */
  readonly leftMs: number;
}

interface ReadStream {
  readonly channel: string;
  readonly floor: number;
  readonly epoch: string;
  readonly settled: readonly RangeRecord[];
  readonly entries: readonly ReadEntry[];
}

/** The stored part of a ledger. Times are remaining times, so that nodes need not agree on a clock. */
export interface ReadLedger {
  readonly group: string;
  readonly counts: Readonly<Record<Settlement, number>>;
  readonly receipts: readonly OwedReceipt[];
  readonly untold: readonly UntoldRecord[];
  readonly answered: readonly AnsweredRecord[];
  readonly streams: readonly ReadStream[];
}

/** The names of members, each once per record to keep it small: it is written as often as events are answered. */
class MemberNames {
  readonly all: string[] = [];
  private readonly places: Map<string, number> = new Map();

  placeOf(name: string): number {
    let place = this.places.get(name);
    if (place === undefined) {
      place = this.all.push(name) - 1;
      this.places.set(name, place);
    }
    return place;
  }
}

/** @param now by the clock of the due times */
export function writeRecord(ledger: LedgerToWrite, now: number): string {
  const { group, counts, receipts, untold, answered, streams } = ledger;
  const members = new MemberNames();
  const texts: string[] = [];
  for (const stream of streams) {
    const text = stream.record ?? streamText(stream, now, group, members);
    // Remaining times change with the clock.
    if (stream.entries.size === 0) stream.record = text;
    texts.push(text);
  }
  const [owed, lost] = [[...receipts], [...untold]];
  const head = JSON.stringify({
    ...{ group, counts },
    ...(owed.length > 0 ? { receipts: owed } : {}),
    ...(lost.length > 0 ? { untold: lost } : {}),
    ...(answered.length > 0 ? { answered } : {}),
    members: members.all,
  });
  return `${head.slice(0, -1)},"streams":[${texts.join(',')}]}`;
}

export function readRecord(text: string): ReadLedger {
  const record = JSON.parse(text) as LedgerRecord;
  const { group, counts, receipts = [], untold = [], answered = [], members = [], streams } = record;
  return {
    ...{ group, counts, receipts, untold, answered },
    streams: streams.map(([channel, floor, epoch, settled, entries]) => ({
      ...{ channel, floor, epoch, settled },
      entries: entries.map(([sequence, attempts, state, leftMs, token, place, key, reason]) => ({
        ...{ sequence, attempts, state, leftMs, key, reason },
        token: token.startsWith('.') ? group + token : token,
        member: members[place] ?? '',
      })),
    })),
  };
}

function streamText(stream: StreamToWrite, now: number, group: string, members: MemberNames): string {
  const { channel, floor, epoch, settled, entries } = stream;
  const kept: EntryRecord[] = [];
  for (const { state, sequence, attempts, due, token, member, key, reason, revived } of entries.values()) {
    if (revived !== null) continue;
    if (state === 'out' || state === 'waiting' || state === 'dead') {
      const left = Math.max(0, Math.round(due - now));
      const proof = token.startsWith(`${group}.`) ? token.slice(group.length) : token;
      kept.push([sequence, attempts, state, left, proof, members.placeOf(member), key, reason]);
    } else if (attempts > 0) kept.push([sequence, attempts, 'waiting', 0, '', members.placeOf(''), key, reason]);
  }
  const record: StreamRecord = [channel, floor, epoch, settled.all, kept];
  return JSON.stringify(record);
}
