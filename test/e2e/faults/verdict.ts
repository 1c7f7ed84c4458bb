import { untoldDuplicates } from './duplicates.ts';
import type { Acked, Publisher } from './publisher.ts';
import type { StoredStream } from './stored.ts';
import type { Received, Subscriber } from './subscriber.ts';

/** A stream as somebody read it after the storm. */
export interface Reading {
  readonly reader: string;
  readonly channel: string;
  readonly events: readonly Received[];
}

/** Everything that is known when the storm is over. */
export interface Evidence {
  readonly publishers: readonly Pick<Publisher, 'acked' | 'refused' | 'complaints'>[];
  readonly subscribers: readonly Pick<Subscriber, 'name' | 'streams' | 'live' | 'complaints'>[];
  /** What the storage holds, read past the servers: channel → its epoch and events. */
  readonly stored: ReadonlyMap<string, StoredStream>;
  /** What the servers say that it holds. */
  readonly readings: readonly Reading[];
}

export interface Verdict {
  /** Acked events that are stored where their acks say. */
  readonly found: number;
  /** Acked events that are not. */
  readonly lost: number;
  /** Events that are stored twice, or were taken for new though they were stored. */
  readonly doubled: number;
  /** Places where events of one sender are not in its order. */
  readonly reordered: number;
  /** Readers and members that lack something, or have something else, without having been told. */
  readonly untold: number;
  /** All that is not as the guarantees promise, a sentence each; empty when everything held. */
  readonly faults: readonly string[];
}

export function judge({ publishers, subscribers, readings, stored }: Evidence): Verdict {
  const acked = publishers.flatMap((publisher) => publisher.acked);
  const lost = acked.flatMap((ack) => lostOf(ack, stored.get(ack.channel)));
  const streams = [...stored];
  const doubled = [
    ...streams.flatMap(([channel, { events }]) => repeats(channel, events)),
    ...publishers.flatMap((publisher) => untoldDuplicates(publisher.acked)),
  ];
  const reordered = streams.flatMap(([channel, { events }]) =>
    publishers.flatMap((publisher) => disorder(channel, events, publisher)),
  );
  const untold = [
    ...[...publishers, ...subscribers].flatMap(({ complaints }) => complaints),
    ...streams.flatMap(([channel, { events }]) => holes(`the storage of ${channel}`, events, 0)),
    ...readings.flatMap(({ reader, channel, events }) =>
      differences(`${reader} of ${channel}`, events, stored.get(channel)?.events ?? []),
    ),
    ...subscribers.flatMap((subscriber) => lackedBy(subscriber, stored)),
  ];
  return {
    found: acked.filter((ack) => ack.stored !== 'none').length - lost.length,
    lost: lost.length,
    doubled: doubled.length,
    reordered: reordered.length,
    untold: untold.length,
    faults: [...lost, ...doubled, ...reordered, ...untold],
  };
}

function lackedBy({ name, streams, live }: Evidence['subscribers'][number], stored: Evidence['stored']): string[] {
  return [...streams].flatMap(([channel, stream]) => {
    const owed = (stored.get(channel)?.events ?? []).filter(({ sequence }) => sequence > stream.from);
    // What was stored after all, though its node had given up on that and handed it on live.
    const had = owed.filter(({ sequence, id }) => !live.has(id) || has(stream.received, sequence));
    return differences(`${name} on ${channel}`, stream.received, had);
  });
}

function holes(where: string, events: readonly Received[], from: number): string[] {
  const at = events.findIndex(({ sequence }, index) => sequence !== from + index + 1);
  return at < 0 ? [] : [`${where} has ${events[at]?.sequence} where ${from + at + 1} is due`];
}

function repeats(channel: string, events: readonly Received[]): string[] {
  const seen = new Map<string, number>();
  const faults: string[] = [];
  for (const { id, sequence } of events) {
    const before = seen.get(id);
    if (before !== undefined) faults.push(`${channel} holds ${id} at ${before} and at ${sequence}`);
    seen.set(id, sequence);
  }
  return faults;
}

/** What one client sent stands in the order sent, but for what was refused and sent again later. */
function disorder(
  channel: string,
  events: readonly Received[],
  { acked, refused }: Pick<Publisher, 'acked' | 'refused'>,
): string[] {
  const numbers = new Map(acked.filter(({ id }) => !refused.has(id)).map(({ id, number }) => [id, number]));
  let last = 0;
  for (const { id, sequence } of events) {
    const number = numbers.get(id);
    if (number === undefined) continue;
    if (number < last) return [`${channel} ${sequence} holds ${id} after number ${last} of the same sender`];
    last = number;
  }
  return [];
}

function lostOf({ id, channel, sequence, epoch, stored }: Acked, stream: StoredStream | undefined): string[] {
  if (stored === 'none') return [];
  if (epoch !== stream?.epoch) return [`${id} was acked in epoch ${epoch}; ${channel} is of ${stream?.epoch}`];
  const found = stream.events[sequence - 1];
  return found?.id === id ? [] : [`${id} was acked at ${channel} ${sequence}, where ${found?.id ?? 'nothing'} is`];
}

/** The first place where two lists differ; more would only repeat it. */
function differences(what: string, found: readonly Received[], expected: readonly Received[]): string[] {
  for (let index = 0; index < Math.max(found.length, expected.length); index += 1) {
    const [one, other] = [found[index], expected[index]];
    if (one?.sequence === other?.sequence && one?.id === other?.id) continue;
    return [`${what} has ${show(one)} where the storage has ${show(other)} (${found.length} of ${expected.length})`];
  }
  return [];
}

function show(event: Received | undefined): string {
  return event === undefined ? 'nothing' : `${event.sequence} ${event.id}`;
}

/** Whether a sequence is among events in ascending order. */
function has(events: readonly Received[], sequence: number): boolean {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle] as Received).sequence < sequence) low = middle + 1;
    else high = middle;
  }
  return events[low]?.sequence === sequence;
}
