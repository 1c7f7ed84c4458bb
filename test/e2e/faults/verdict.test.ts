import { describe, expect, it } from 'vitest';
import { untoldDuplicates } from './duplicates.ts';
import { type GroupEvidence, type GroupStanding, judgeGroup } from './group-verdict.ts';
import type { Acked } from './publisher.ts';
import { tellStory } from './story.ts';
import type { PastStream } from './subscriber.ts';
import { type Evidence, judge } from './verdict.ts';
import type { HandedOut } from './worker.ts';

const EPOCH = 'e';
const WIND = { channel: 'wind', publisher: 'p1', epoch: EPOCH, stored: 'disk', duplicate: false } as const;
const STANDING: GroupStanding = { handled: 3, pending: 0, unacked: 0, members: 4, rejected: 0, lost: 0 };

function acked(number: number, more: Partial<Acked> = {}): Acked {
  return { ...WIND, id: `arq_${number}`, number, sequence: number, ...more };
}

function handed(number: number, more: Partial<HandedOut> = {}): HandedOut {
  return {
    ...{ worker: 'w1', id: `arq_${number}`, channel: 'wind', sequence: number, attempt: 1, answer: 'done' },
    ...{ token: `t${number}`, deadline: 2_000 + number, moments: [] },
    ...more,
  };
}

/** What is found of a storm in which three events were published and handled, but for what is different. */
function judged(different: Partial<GroupEvidence>): ReturnType<typeof judgeGroup> {
  return judgeGroup({
    acked: [acked(1), acked(2), acked(3)],
    handed: [handed(1), handed(2), handed(3)],
    standing: STANDING,
    at: 9_000,
    ...different,
  });
}

describe('the verdict over a group', () => {
  it('finds nothing where each event was handled once', () => {
    expect(judged({})).toEqual({ handled: 3, lost: 0, doubled: 0, stale: 0, suspects: [], faults: [] });
  });

  it('lets an event be handed out again that was not acked, or whose ack got no answer', () => {
    const again = { worker: 'w2', attempt: 2, token: 'u2', deadline: 9_000 };
    for (const answer of ['none', 'lost', 'asked'] as const) {
      const verdict = judged({ handed: [handed(1), handed(2, { answer }), handed(2, again), handed(3)] });
      expect(verdict).toMatchObject({ handled: 3, doubled: 0, faults: [] });
    }
    expect(judged({ handed: [handed(1), handed(2, { answer: 'asked' }), handed(3)] }).faults).toEqual([]);
  });

  it('lets a hand-out be late that was given before the one that was acked', () => {
    const late = handed(2, { worker: 'w2', token: 'u2', deadline: 1_000, answer: 'none' });
    expect(judged({ handed: [handed(1), handed(2), late, handed(3)] }).faults).toEqual([]);
  });

  it('finds an event that is handed out again after its ack', () => {
    const twice = handed(2, { worker: 'w2', attempt: 2, token: 'u2', deadline: 9_000, answer: 'none' });
    const verdict = judged({ handed: [handed(1), handed(2), handed(3), twice] });
    expect(verdict).toMatchObject({ doubled: 1 });
    expect(verdict.faults).toEqual(['arq_2 was acked by w1 and then handed to w2 (attempt 2)']);
    expect(verdict.suspects).toEqual(['arq_2']);
  });

  it('finds an event that two leases were acked for', () => {
    const twice = handed(2, { worker: 'w2', token: 'u2', deadline: 1_000 });
    expect(judged({ handed: [handed(1), handed(2), handed(3), twice] }).faults).toEqual([
      'arq_2 was acked by w1, and by w2 once more',
    ]);
  });

  it('finds an event that was never handed out, and one that was never handled', () => {
    const verdict = judged({
      handed: [handed(1), handed(3, { answer: 'none' })],
      standing: { ...STANDING, handled: 1 },
    });
    expect(verdict).toMatchObject({ handled: 1, lost: 2 });
    expect(verdict.faults).toEqual([
      '2 events were not handled, of which 0 were told as lost',
      'arq_2 (wind 2) was never handed out',
      'arq_3 (wind 3) was handed out 1 times and never handled',
    ]);
  });

  it('forgives a loss that was told, counts it, and finds one that was not', () => {
    const missing = { handed: [handed(3)] };
    const all = judged({ ...missing, standing: { ...STANDING, handled: 1, lost: 2 } });
    expect(all).toMatchObject({ lost: 2, faults: [] });
    const one = judged({ ...missing, standing: { ...STANDING, handled: 1, lost: 1 } });
    expect(one.faults[0]).toBe('2 events were not handled, of which 1 were told as lost');
  });

  it('finds a server that never says "duplicate"', () => {
    // It stood at 1 when 3 was known, and was sent again after that.
    const resent = acked(1, { known: { sequence: 3, epoch: EPOCH } });
    const others = [acked(2), acked(3)];
    expect(judged({ acked: [resent, ...others] }).faults).toEqual([
      'arq_1 was sent again after wind 3, stands at 1, and was no duplicate',
    ]);
    expect(judged({ acked: [{ ...resent, duplicate: true }, ...others] }).faults).toEqual([]);
  });

  it('knows no duplicate where a message may have been stored by its second sending', () => {
    const known = { sequence: 3, epoch: EPOCH };
    expect(untoldDuplicates([acked(4, { known })])).toEqual([]);
    expect(untoldDuplicates([acked(1, { known: { sequence: 3, epoch: 'another' } })])).toEqual([]);
    expect(untoldDuplicates([acked(1, { known, stored: 'none' })])).toEqual([]);
  });

  it('finds what is left over, miscounted, rejected or out of place', () => {
    const last = { moments: [{ at: 8_400, what: 'handed to w1' }] };
    const handedOut = [handed(1), handed(2, last), handed(3)];
    expect(judged({ handed: handedOut, standing: { ...STANDING, pending: 1, unacked: 2 } }).faults).toEqual([
      'the group has 1 events pending and 2 unacked when all is over, with 4 members, and hands nothing out since 600 ms',
    ]);
    expect(judged({ standing: { ...STANDING, rejected: 1 } }).faults).toHaveLength(1);
    expect(judged({ standing: { ...STANDING, handled: 2 } }).faults).toHaveLength(1);
    const strange = [handed(9, { worker: 'w2' }), handed(2, { sequence: 7 })];
    expect(judged({ handed: [handed(1), handed(3), ...strange] }).faults).toEqual([
      'w2 was given arq_9, which nobody has had an ack for',
      'w1 was given arq_2 as wind 7, not wind 2',
      'the group counts 3 handled events where workers acked 4',
    ]);
  });

  it('counts acks that came too late', () => {
    const late = handed(2, { answer: 'lost' });
    const again = handed(2, { worker: 'w2', attempt: 2, token: 'u2', deadline: 9_000 });
    expect(judged({ handed: [handed(1), late, again, handed(3)] })).toMatchObject({ stale: 1, faults: [] });
  });
});

describe('the story of an event', () => {
  it('tells who got it and what came of it, and what was broken around then, in the order of time', () => {
    const moments = [
      { at: 20_000, what: 'handed to w1' },
      { at: 20_007, what: 'w1 acks' },
    ];
    const later = handed(1, { worker: 'w2', moments: [{ at: 20_900, what: 'handed to w2' }] });
    const damage = [
      { at: 1_000, what: 'long before' },
      { at: 20_003, what: 'node-1 is killed' },
      { at: 40_000, what: 'long after' },
    ];
    expect(tellStory('arq_1', [later, handed(1, { moments }), handed(2, { moments })], damage).split('\n')).toEqual([
      'the story of arq_1:',
      '    0 ms: handed to w1',
      '    3 ms: node-1 is killed',
      '    7 ms: w1 acks',
      '    900 ms: handed to w2',
    ]);
    expect(tellStory('arq_3', [later], damage)).toBe('arq_3 was given to nobody');
  });
});

/** One sender's three events in one channel, which one member had and a server reads back, but for what is different. */
function evidence(different: {
  readonly acked?: readonly Acked[];
  readonly stored?: readonly number[];
  readonly received?: readonly number[];
  readonly read?: readonly number[];
  readonly past?: readonly Pick<PastStream, 'from' | 'received'>[];
  readonly mayForget?: number;
  readonly holes?: PastStream['holes'];
}): Evidence {
  const events = (numbers: readonly number[] = [1, 2, 3]) =>
    numbers.map((n, at) => ({ sequence: at + 1, id: `arq_${n}` }));
  const had = (different.received ?? [1, 2, 3]).map((n) => ({ sequence: n, id: `arq_${n}` }));
  const position = { sequence: 3, epoch: EPOCH };
  return {
    publishers: [
      { acked: [...(different.acked ?? [acked(1), acked(2), acked(3)])], refused: new Set(), complaints: [] },
    ],
    subscribers: [
      {
        name: 's1',
        live: new Set(),
        complaints: [],
        past: (different.past ?? []).map((one) => ({
          ...one,
          channel: 'wind',
          position: { sequence: 0, epoch: 'f' },
          holes: [],
        })),
        streams: new Map([['wind', { from: 0, position, received: had, holes: different.holes ?? [] }]]),
      },
    ],
    stored: new Map([['wind', { epoch: EPOCH, events: events(different.stored) }]]),
    readings: [{ reader: 'n1', channel: 'wind', epoch: EPOCH, events: events(different.read ?? different.stored) }],
    mayForget: different.mayForget ?? 0,
  };
}

describe('the verdict over events', () => {
  const one = (n: number) => ({ sequence: n, id: `arq_${n}` });
  const HELD = { found: 3, lost: 0, forgotten: 0, doubled: 0, reordered: 0, untold: 0, faults: [] };

  it('finds nothing where everything held', () => {
    expect(judge(evidence({}))).toEqual(HELD);
  });

  it('forgives what a member was told that it cannot have, and no more', () => {
    expect(judge(evidence({ received: [1, 3], holes: [{ after: 1, upTo: 2 }] }))).toEqual(HELD);
    expect(judge(evidence({ received: [1], holes: [{ after: 1, upTo: 2 }] }))).toMatchObject({ untold: 1 });
  });

  it('forgives what was acked in an epoch that its storage took with it, and counts it', () => {
    const forgotten = [acked(4, { epoch: 'f', sequence: 1 }), acked(1), acked(2), acked(3)];
    const past = [{ from: 0, received: [{ sequence: 1, id: 'arq_4' }] }];
    expect(judge(evidence({ acked: forgotten, past, mayForget: 1 }))).toEqual({ ...HELD, forgotten: 1 });
    expect(judge(evidence({ acked: forgotten }))).toMatchObject({ lost: 1, forgotten: 0 });
  });

  it.each([
    ['an acked event that is not stored', { stored: [1, 2], received: [1, 2] }, { found: 2, lost: 1 }],
    ['an acked event whose stream began anew', { acked: [acked(1), acked(2), acked(3, { epoch: 'f' })] }, { lost: 1 }],
    ['an event that is stored twice', { stored: [1, 2, 3, 2] }, { doubled: 1 }],
    [
      'an event that was sent again and not known',
      { acked: [acked(1, { known: { sequence: 2, epoch: EPOCH } }), acked(2), acked(3)] },
      { doubled: 1 },
    ],
    ['two events of one sender that changed places', { stored: [1, 3, 2] }, { reordered: 1 }],
    ['an event that a member never had', { received: [1, 3] }, { untold: 1 }],
    ['an event that a member had twice', { received: [1, 2, 2, 3] }, { untold: 1 }],
    ['an event that a server does not read back', { read: [1, 2] }, { untold: 1 }],
    ['an epoch that ended though its storage did not', { past: [{ from: 0, received: [] }] }, { untold: 1 }],
    [
      'more epochs than the storage had lives',
      { acked: [acked(1), acked(2), acked(3, { epoch: 'g' })], past: [{ from: 0, received: [] }], mayForget: 1 },
      { untold: 1 },
    ],
    [
      'a hole in what a member had of an epoch that is over',
      { past: [{ from: 0, received: [one(1), one(3)] }], mayForget: 1 },
      { untold: 1 },
    ],
    [
      'an event that a member had where another was acked',
      {
        acked: [acked(1), acked(2), acked(4, { epoch: 'f', sequence: 1 })],
        past: [{ from: 0, received: [one(1)] }],
        mayForget: 1,
      },
      { untold: 1 },
    ],
  ])('finds %s', (_what, different, expected) => {
    const verdict = judge(evidence(different));
    expect(verdict).toMatchObject(expected);
    expect(verdict.faults.length).toBeGreaterThan(0);
  });
});
