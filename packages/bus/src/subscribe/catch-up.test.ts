import { expect, it } from 'vitest';
import { type Frame, Run } from '../connection/frame.ts';
import type { Session } from '../connection/session.ts';
import type { Broker, StoredEvent, StreamEvent } from '../engine/engine.ts';
import { type Channel, Rooms } from '../rooms.ts';
import { noRules } from '../rules/rules.suite.ts';
import { CatchUp } from './catch-up.ts';
import { ReplayedFrames } from './replayed-frames.ts';

const EPOCH = 'e1';

function makeChannel(): Channel {
  const rooms = new Rooms({
    bootstrap: {},
    rules: noRules({ size: 500, ttlMs: 60_000 }),
    maxChannels: 10,
    maxChannelsPerSubject: 10,
    maxSubscriptions: 10,
    now: Date.now,
  });
  return rooms.create(rooms.tenant('default'), 'r', 'x', {});
}

function event(stream: Channel, sequence: number): StreamEvent {
  return { stream, sequence, id: `arq_${sequence}`, from: 'arq_client_other', text: `{"sequence":${sequence}}` };
}

/** A member of a stream whose history ends at `stored`, on a node that live traffic has reached `reached` on. */
function rig(stored: number, live: { sequence: number; epoch: string }) {
  const sent: string[] = [];
  const outbox = {
    limit: 8 * 1_048_576,
    backlog: 0,
    push: (part: Frame | Run) => sent.push(...(part instanceof Run ? part.frames : [part]).map(({ text }) => text)),
  };
  const session = { id: 'arq_client_me', outbox, send: (text: string) => sent.push(text) } as unknown as Session;
  const broker = {
    history: async (
      _: unknown,
      { fromSequence = 1, limit }: { fromSequence?: number; limit: number },
    ): Promise<StoredEvent[]> => {
      if (stored === 0) throw new Error('the storage is away');
      const count = Math.min(limit, Math.max(0, stored - fromSequence + 1));
      return Array.from({ length: count }, (_unused, index) => {
        const sequence = fromSequence + index;
        return { sequence, time: 0, from: 'x', text: `{"metadata":{"sequence":${sequence}}}` };
      });
    },
    reached: () => live,
  } as unknown as Broker;
  const channel = makeChannel();
  let done = 0;
  const rooms = { policy: () => ({ echo: null }) } as unknown as Rooms;
  const catchUp = new CatchUp(session, channel, { broker, rooms, now: Date.now, frames: new ReplayedFrames() }, () => {
    done += 1;
  });
  const sequences = (): number[] => sent.map((text) => Number(/"(?:after_)?sequence":(\d+)/.exec(text)?.[1]));
  return { catchUp, channel, sent, sequences, done: () => done };
}

it('drops what live traffic brings after the replay has told it already, and goes live from there', async () => {
  const live = { sequence: 1, epoch: EPOCH };
  const { catchUp, channel, sequences, done } = rig(3, live);
  catchUp.startAfter(channel, { sequence: 3, epoch: EPOCH });
  await catchUp.run([{ channel, after: 0 }]);
  expect(sequences()).toEqual([1, 2, 3]);
  expect(done()).toBe(0);
  expect(catchUp.offer(channel, event(channel, 2))).toBe(false);
  expect(catchUp.offer(channel, event(channel, 3))).toBe(false);
  expect(done()).toBe(1);
  expect(sequences()).toEqual([1, 2, 3]);
});

it('takes a stream of another epoch from its beginning', async () => {
  const live = { sequence: 1, epoch: EPOCH };
  const { catchUp, channel, sequences, done } = rig(3, live);
  catchUp.startAfter(channel, { sequence: 3, epoch: EPOCH });
  await catchUp.run([{ channel, after: 2 }]);
  live.epoch = 'e2';
  expect(catchUp.offer(channel, event(channel, 1))).toBe(true);
  expect(sequences()).toEqual([3, 1]);
  expect(done()).toBe(1);
});

it('is done at once when live traffic is as far as history', async () => {
  const { catchUp, channel, sequences, done } = rig(2, { sequence: 2, epoch: EPOCH });
  catchUp.startAfter(channel, { sequence: 2, epoch: EPOCH });
  await catchUp.run([{ channel, after: 0 }]);
  expect(sequences()).toEqual([1, 2]);
  expect(done()).toBe(1);
});

it('tells the gap when history can no longer be read, and passes on what was held back', async () => {
  const live = { sequence: 9, epoch: EPOCH };
  const { catchUp, channel, sent, done } = rig(0, live);
  catchUp.startAfter(channel, { sequence: 9, epoch: EPOCH });
  const running = catchUp.run([{ channel, after: 4 }]);
  live.sequence = 10;
  catchUp.offer(channel, event(channel, 10));
  await expect(running).rejects.toThrow('the storage is away');
  catchUp.fail();
  expect(JSON.parse(sent[0] ?? '').payload).toMatchObject({ event: 'history_gap', after_sequence: 4 });
  expect(sent[1]).toContain('"sequence":10');
  expect(done()).toBe(1);
});

it('drops what a repair of the node hands to everybody, when the replay has told it already', async () => {
  const { catchUp, channel, sequences, done } = rig(3, { sequence: 3, epoch: EPOCH });
  channel.lastSequence = 1;
  channel.lastText = event(channel, 1).text;
  catchUp.startAfter(channel, { sequence: 3, epoch: EPOCH });
  await catchUp.run([{ channel, after: 1 }]);
  expect(sequences()).toEqual([2, 3]);
  expect(done()).toBe(0);
  expect([2, 3, 4].map((sequence) => catchUp.offer(channel, event(channel, sequence)))).toEqual([false, false, false]);
  expect(done()).toBe(1);
  expect(sequences()).toEqual([2, 3]);
});

it('knows a channel that was made anew while it read what was missed', async () => {
  const { catchUp, channel, sequences } = rig(3, { sequence: 3, epoch: EPOCH });
  catchUp.startAfter(channel, { sequence: 2, epoch: EPOCH });
  const running = catchUp.run([{ channel, after: 1 }]);
  const anew = makeChannel();
  expect(catchUp.offer(anew, event(anew, 3))).toBe(true);
  await running;
  expect(sequences()).toEqual([2, 3]);
});
