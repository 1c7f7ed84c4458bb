import { openDraft, sealUnstored } from '@arqonbus/protocol';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Session } from '../connection/session.ts';
import type { NodeMessage, Presence } from '../engine/engine.ts';
import type { Hub } from '../hub.ts';
import { KnownStreams } from './known.ts';
import { END_ID, markText, readMark, textOf } from './mark.ts';
import { Pieces } from './pieces.ts';
import type { StreamTexts, TextSoFar } from './texts.ts';

const AT = { tenant: 'default', room: 'r', channel: 'c' };
const WHOLE = 'abcdefghijklmnopqrstuvwxyz';

/** An envelope of the stream from one offset to another. */
function envelope(from: number, to: number, state = 'streaming'): string {
  const mark = markText({ id: 's', offset: from, state: state as 'streaming' });
  const payload = { text: WHOLE.slice(from, to) };
  return sealUnstored(openDraft({ id: `${END_ID}1`, type: 'event', ...AT, from: 'w', payload, marks: mark }).open);
}

function piece(from: number, to: number, state?: string): NodeMessage {
  return { kind: 'piece', clients: [], ...AT, text: envelope(from, to, state) };
}

describe('pieces of another node’s stream', () => {
  /** What each member was shown, from offset to text. */
  let shown: Map<Session, [number, string][]>;
  let members: Session[];
  let known: KnownStreams;
  let pieces: Pieces;
  /** Answers what was asked for of the text. */
  let answer: (found: TextSoFar | null) => Promise<void>;
  let asked: number;

  beforeEach(() => {
    shown = new Map();
    asked = 0;
    members = [{ id: 'one', outbox: { backlog: 0 } } as unknown as Session];
    known = new KnownStreams(() => 0, false);
    const show = (text: string, to: readonly Session[]): void => {
      for (const one of to) {
        shown.set(one, [...(shown.get(one) ?? []), [readMark(text)?.offset ?? -1, textOf(text)]]);
      }
    };
    const hub = {
      audienceAt: () => members,
      show: (_at: unknown, _from: string, text: string, except: ReadonlySet<Session> = new Set()) =>
        show(
          text,
          members.filter((one) => !except.has(one)),
        ),
      showTo: (_at: unknown, _from: string, text: string, to: readonly Session[]) => show(text, to),
    } as unknown as Hub;
    const texts = {
      soFar: () => {
        asked += 1;
        return new Promise<TextSoFar | null>((resolve) => {
          answer = async (found) => {
            resolve(found);
            await new Promise(setImmediate);
          };
        });
      },
    } as unknown as StreamTexts;
    const presence = { send: () => {} } as unknown as Presence;
    const onFault = (error: unknown): never => {
      throw error;
    };
    pieces = new Pieces({ hub, known, texts, presence, onFault });
  });

  const of = (member: number): [number, string][] => shown.get(members[member] as Session) ?? [];

  it('are shown as they come, and what was shown already is cut or left out', () => {
    for (const [from, to] of [
      [0, 3],
      [0, 3],
      [2, 5],
      [5, 6],
    ] as const)
      pieces.receive(piece(from, to));
    expect(of(0)).toEqual([
      [0, 'abc'],
      [3, 'de'],
      [5, 'f'],
    ]);
    expect(asked).toBe(0);
  });

  it('are asked for when one is missing; what comes meanwhile is shown after it', async () => {
    pieces.receive(piece(0, 3));
    pieces.receive(piece(5, 8));
    pieces.receive(piece(8, 10));
    expect([asked, of(0)]).toEqual([1, [[0, 'abc']]]);
    await answer({ envelope: envelope(0, 8), length: 8 });
    expect(of(0)).toEqual([
      [0, 'abc'],
      [3, 'defgh'],
      [8, 'ij'],
    ]);
    expect(asked).toBe(1);
  });

  it('begin for who comes late with all that there is, and go on for the others', async () => {
    known.open('default', 's', { ...AT, node: 'n' } as never);
    pieces.receive(piece(0, 3));
    const late = { id: 'two', outbox: { backlog: 0 } } as unknown as Session;
    const enter = pieces.entering(late, AT as never);
    members = [...members, late];
    enter();
    pieces.receive(piece(3, 6));
    pieces.receive(piece(6, 7));
    await answer({ envelope: envelope(0, 6), length: 6 });
    expect([of(0), of(1)]).toEqual([
      [
        [0, 'abc'],
        [3, 'def'],
        [6, 'g'],
      ],
      [
        [0, 'abcdef'],
        [6, 'g'],
      ],
    ]);
  });

  it('are asked for by the next comer when nobody was here before', async () => {
    const [one] = members as [Session];
    members = [];
    pieces.receive(piece(0, 3));
    members = [one];
    pieces.receive(piece(3, 5));
    await answer({ envelope: envelope(0, 5), length: 5 });
    expect(of(0)).toEqual([[0, 'abcde']]);
  });

  it('are asked for again when their node did not answer', async () => {
    pieces.receive(piece(2, 4));
    await answer(null);
    pieces.receive(piece(4, 6));
    expect(asked).toBe(2);
    await answer({ envelope: envelope(0, 6), length: 6 });
    expect(of(0)).toEqual([[0, 'abcdef']]);
  });

  it('are left out once the end has passed, which is cut to what is missing', () => {
    pieces.receive(piece(0, 3));
    const parting = known.part('default', envelope(0, 10, 'complete'));
    expect([readMark(parting?.rest ?? '')?.offset, textOf(parting?.rest ?? '')]).toEqual([3, 'defghij']);
    pieces.receive(piece(3, 6));
    expect(of(0)).toEqual([[0, 'abc']]);
  });

  it('are left out when the end has passed before any came', () => {
    expect(known.part('default', envelope(0, 10, 'complete'))).toBeNull();
    pieces.receive(piece(0, 3));
    expect(of(0)).toEqual([]);
  });

  it('end without an event too, for whoever was shown any', () => {
    pieces.receive(piece(0, 3));
    pieces.receive(piece(3, 3, 'failed'));
    expect(of(0)).toEqual([
      [0, 'abc'],
      [3, ''],
    ]);
    pieces.receive(piece(3, 5));
    expect(of(0)).toHaveLength(2);
  });

  it('are forgotten a while after their end', () => {
    let now = 0;
    const mine = new KnownStreams(() => now, false);
    mine.part('default', envelope(0, 10, 'complete'));
    now = 60_000;
    mine.sweep();
    expect(mine.get('default', 's')?.hasEnded).toBe(true);
    now = 60_001;
    mine.sweep();
    expect(mine.get('default', 's')).toBeUndefined();
  });

  it('are held up to 1 MiB while they wait, and beyond it asked for again', async () => {
    const long = (from: number, units: number): NodeMessage => {
      const marks = markText({ id: 's', offset: from, state: 'streaming' });
      const source = { id: `${END_ID}1`, type: 'event', ...AT, from: 'w', payload: { text: 'x'.repeat(units) }, marks };
      return { ...piece(0, 0), text: sealUnstored(openDraft(source as never).open) };
    };
    pieces.receive(long(10, 600_000));
    pieces.receive(long(600_010, 600_000));
    pieces.receive(long(600_010, 400_000));
    await answer({ envelope: envelope(0, 10), length: 10 });
    expect(of(0).map(([offset, { length }]) => [offset, length])).toEqual([
      [0, 10],
      [10, 600_000],
      [600_010, 400_000],
    ]);
  });
});

it('bounds the open streams of a writer and of a tenant', () => {
  const known = new KnownStreams(() => 0, true, { maxOpen: 2, maxOpenInTenant: 3 });
  const open = (id: string, identity: string, tenant = 'default'): void => {
    known.requirePlace(tenant, identity);
    known.open(tenant, id, { ...AT, identity } as never);
  };
  open('a', 'sub:ada');
  open('b', 'sub:ada');
  expect(() => open('c', 'sub:ada')).toThrow(
    expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { limit: 2 } }),
  );
  open('c', 'sub:bob');
  expect(() => open('d', 'sub:cyd')).toThrow(
    expect.objectContaining({ code: 'LIMIT_EXCEEDED', details: { limit: 3 } }),
  );
  open('d', 'sub:cyd', 'other');
  known.end(known.get('default', 'a') as never);
  open('e', 'sub:ada');
});
