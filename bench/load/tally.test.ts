import { describe, expect, it } from 'vitest';
import { ENVELOPE } from '../envelope.ts';
import { MessageTemplate } from './message.ts';
import { clock, createLatency, Tallies, Tally } from './tally.ts';

function makeTally(subscribers: number): { tally: Tally; faults: string[] } {
  const faults: string[] = [];
  return { tally: new Tally(subscribers, 1, (reason) => faults.push(reason)), faults };
}

describe('Tally', () => {
  it('completes a message when the last subscriber has it', () => {
    const { tally } = makeTally(2);
    const [first, second] = [tally.subscriber(), tally.subscriber()];
    const progress: number[] = [];
    tally.onProgress = () => progress.push(tally.completed);
    tally.publishing(3);
    first.arrived(0, 3);
    expect([tally.completed, tally.inFlight]).toEqual([0, 3]);
    second.arrived(0, 2);
    expect([tally.completed, tally.inFlight]).toEqual([2, 1]);
    second.arrived(2, 3);
    expect([tally.completed, tally.inFlight, tally.deliveries]).toEqual([3, 0, 6]);
    expect(progress).toEqual([2, 3]);
  });

  it('records the latency of the mark', () => {
    const { tally, faults } = makeTally(1);
    tally.publishing(1);
    const bytes = new MessageTemplate(ENVELOPE, undefined).frames(1, 1, clock() - 5000);
    tally.subscriber().inspect(1, bytes, 0, bytes.length);
    expect(tally.latency.count).toBe(1);
    expect(tally.latency.min).toBeGreaterThanOrEqual(5000);
    expect(faults).toEqual([]);
  });

  it('reports a lost, repeated or reordered message, and one that nobody published', () => {
    const { tally, faults } = makeTally(1);
    const subscriber = tally.subscriber();
    const bytes = new MessageTemplate(ENVELOPE, undefined).frames(3, 1, clock());
    subscriber.inspect(2, bytes, 0, bytes.length);
    const other = Buffer.from('{"type":"system"}');
    subscriber.inspect(3, other, 0, other.length);
    expect(faults[0]).toBe('message 3 came where 2 was due');
    expect(faults[1]).toContain('{"type":"system"}');
  });

  it('reports a server that falls ever further behind', () => {
    const { tally, faults } = makeTally(1);
    tally.publishing(65_536);
    expect(faults).toEqual([]);
    tally.publishing(1);
    expect(faults[0]).toContain('does not keep up');
  });
});

describe('Tallies', () => {
  it('adds up channels that share one histogram, and starts all of them anew', () => {
    const latency = createLatency();
    const all = [1, 2].map((subscribers) => new Tally(subscribers, 1, () => {}, latency, 2));
    const tallies = new Tallies(all, latency);
    for (const tally of all) tally.publishing(1);
    const bytes = new MessageTemplate(ENVELOPE, undefined).frames(1, 1, clock() - 50);
    const [one, other] = [all[0]!.subscriber(), all[1]!.subscriber()];
    one.inspect(1, bytes, 0, bytes.length);
    one.arrived(0, 1);
    other.inspect(1, bytes, 0, bytes.length);
    other.arrived(0, 1);
    expect([tallies.deliveries, tallies.completed, tallies.inFlight, latency.count]).toEqual([2, 1, 1, 2]);
    tallies.restart();
    expect([tallies.deliveries, tallies.completed, latency.count]).toEqual([0, 1, 0]);
  });

  it('reports more on their way than a tally is made for', () => {
    const faults: string[] = [];
    const tally = new Tally(1, 1, (reason) => faults.push(reason), createLatency(), 2);
    tally.publishing(2);
    expect(faults).toEqual([]);
    tally.publishing(1);
    expect(faults[0]).toContain('3 messages are on their way');
  });
});
