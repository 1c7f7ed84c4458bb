import { untoldDuplicates } from './duplicates.ts';
import type { Acked, Publisher } from './publisher.ts';
import type { SdkPublisher } from './sdk-publisher.ts';
import type { SdkSubscriber } from './sdk-subscriber.ts';
import type { StoredStream } from './stored.ts';
import type { Received, Subscriber } from './subscriber.ts';

/** A stream as read by one reader after the storm. */
export interface Reading {
  readonly reader: string;
  readonly channel: string;
  readonly epoch: string;
  readonly events: readonly Received[];
}

/** All data available after the storm. */
export interface Evidence {
  readonly publishers: readonly Pick<Publisher | SdkPublisher, 'acked' | 'refused' | 'complaints'>[];
  readonly subscribers: readonly Pick<
    Subscriber | SdkSubscriber,
    'name' | 'streams' | 'past' | 'live' | 'complaints'
  >[];
  /** The content of the storage, read directly: channel → its epoch and events. */
  readonly stored: ReadonlyMap<string, StoredStream>;
  /** The content of the storage as reported by the servers. */
  readonly readings: readonly Reading[];
  /** How often the servers may have lost all stored data, which starts a new epoch of each stream. 0: never. */
  readonly mayForget: number;
}

export interface Verdict {
  /** Acked events that are stored where their acks say. */
  readonly found: number;
  /** Acked events that are not. */
  readonly lost: number;
  /** Acked events of ended epochs, where servers may lose data. */
  readonly forgotten: number;
  /** Events stored twice, or accepted as new although they were stored. */
  readonly doubled: number;
  /** Positions where events of one sender are out of order. */
  readonly reordered: number;
  /** Readers and subscribers with missing or different events that were not reported to them. */
  readonly untold: number;
  /** Violations of the guarantees, one sentence each; empty if there are none. */
  readonly faults: readonly string[];
}

export function judge({ publishers, subscribers, readings, stored, mayForget }: Evidence): Verdict {
  const acked = publishers.flatMap((publisher) => publisher.acked.filter((ack) => ack.stored !== 'none'));
  const kept = acked.filter(({ channel, epoch }) => mayForget === 0 || epoch === stored.get(channel)?.epoch);
  const lost = kept.flatMap((ack) => lostOf(ack, stored.get(ack.channel)));
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
    ...epochFaults(acked, subscribers, mayForget),
  ];
  return {
    found: kept.length - lost.length,
    lost: lost.length,
    forgotten: acked.length - kept.length,
    doubled: doubled.length,
    reordered: reordered.length,
    untold: untold.length,
    faults: [...lost, ...doubled, ...reordered, ...untold],
  };
}

/** Every new epoch must be reported and gapless as far as received, and an epoch may end only with the storage. */
function epochFaults(acked: readonly Acked[], subscribers: Evidence['subscribers'], mayForget: number): string[] {
  const epochs = new Map<string, Set<string>>();
  const note = (channel: string, epoch: string): unknown =>
    epochs.set(channel, (epochs.get(channel) ?? new Set()).add(epoch));
  for (const { channel, epoch } of acked) note(channel, epoch);
  const ids = new Map(acked.map(({ channel, epoch, sequence, id }) => [`${channel} ${sequence} of ${epoch}`, id]));
  const faults: string[] = [];
  for (const { name, past } of subscribers) {
    for (const { channel, position, from, received } of past) {
      const { epoch } = position;
      note(channel, epoch);
      faults.push(...holes(`${name} on ${channel}, epoch ${epoch}`, received, from));
      for (const { sequence, id } of received) {
        const place = `${channel} ${sequence} of ${epoch}`;
        const other = ids.get(place) ?? id;
        if (other !== id) faults.push(`${name} had ${id} at ${place}, where ${other} was acked or had by others`);
        ids.set(place, id);
      }
    }
  }
  for (const [channel, { size }] of epochs) {
    if (size > mayForget + 1) faults.push(`${channel} had ${size} epochs, though its storage ended ${mayForget} times`);
  }
  return faults;
}

function lackedBy({ name, streams, live }: Evidence['subscribers'][number], stored: Evidence['stored']): string[] {
  return [...streams].flatMap(([channel, stream]) => {
    const owed = (stored.get(channel)?.events ?? []).filter(({ sequence }) => sequence > stream.from);
    // Excludes events stored although their node had given up and delivered them live.
    const isTold = (at: number): boolean => stream.holes.some(({ after, upTo }) => at > after && at <= upTo);
    const had = owed.filter(({ sequence, id }) => {
      return has(stream.received, sequence) || !(live.has(id) || isTold(sequence));
    });
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

/** Events of one sender must be in the order sent, except those refused and resent later. */
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

/** The first difference between two lists; further ones would only repeat it. */
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

/** Whether a sequence is in a list of events in ascending order. */
function has(events: readonly Received[], sequence: number): boolean {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((events[middle] as Received).sequence < sequence) low = middle + 1;
    else high = middle;
  }
  return events[low]?.sequence === sequence;
}
