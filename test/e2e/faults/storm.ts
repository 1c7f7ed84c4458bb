import type { Position } from '@arqonbus/protocol';
import { Peer } from '../../fixtures/peer.ts';
import { type Arena, type Engine, type Mode, openArena } from './arena.ts';
import { Chaos, type Damage } from './chaos.ts';
import { Publisher } from './publisher.ts';
import { Random } from './random.ts';
import { SdkPublisher } from './sdk-publisher.ts';
import { SdkSubscriber } from './sdk-subscriber.ts';
import { healthy, printedBy, within } from './settled.ts';
import type { StoredStream } from './stored.ts';
import { type Received, Subscriber } from './subscriber.ts';
import { judge, type Reading, type Verdict } from './verdict.ts';

const ROOM = 'storm';
const CHANNELS = ['wind', 'rain', 'hail'] as const;
const PAGE = 500;

/** Clients that implement the protocol themselves, and those of the SDK. */
type AnyPublisher = Publisher | SdkPublisher;
type AnySubscriber = Subscriber | SdkSubscriber;

export interface StormOptions {
  readonly engine: Engine;
  readonly mode: Mode;
  readonly seconds: number;
  readonly seed: number;
}

/** What a storm broke and what survived it. */
export interface Survival extends Damage, Verdict {
  readonly acked: number;
  /** Of those: acked with `stored: none`, delivered live only. */
  readonly liveOnly: number;
  readonly received: number;
  /** Reconnects. */
  readonly reconnects: number;
  /** Messages that subscribers received by resuming. */
  readonly replayed: number;
  /** Messages resent because no ack arrived. */
  readonly resent: number;
  /** Of those: already stored, and not stored again. */
  readonly duplicates: number;
  readonly gapsTold: number;
  /** Resumes that had to wait for the storage. */
  readonly putOff: number;
}

/**
 * One storm: real servers, clients that publish and subscribe through all of them, and failures at moments determined
 * by the seed. Afterwards everything is accounted for.
 */
export async function storm({ engine, mode, seconds, seed }: StormOptions): Promise<Survival> {
  const random = new Random(seed);
  const arena = await openArena(engine, mode);
  const crew = man(arena, random);
  try {
    for (const [name, isWide] of [
      ['sdk1', false],
      ['sdk2', true],
    ] as const) {
      crew.subscribers.push(await SdkSubscriber.join(name, arena.urls, ROOM, CHANNELS, isWide));
    }
    await Promise.all(crew.subscribers.map((subscriber) => subscriber.joined()));
    crew.publishers.push(...launch(arena, random));
    crew.publishers.push(await SdkPublisher.start('p4', arena.urls, ROOM, CHANNELS, random.fork()));
    const { publishers, subscribers } = crew;
    const chaos = new Chaos(arena, [...publishers, ...subscribers], random.fork());
    await chaos.rage(seconds);
    const verdict = await calm(arena, publishers, subscribers, chaos.damage.nodesKilled);
    return { ...chaos.damage, ...account(publishers, subscribers), ...verdict };
  } finally {
    await within(Promise.all([...crew.publishers, ...crew.subscribers].map((client) => client.leave())));
    await arena.close();
  }
}

/** Two clients that join every channel, and two that subscribe to the room. */
function man(arena: Arena, random: Random): { publishers: AnyPublisher[]; subscribers: AnySubscriber[] } {
  const { urls } = arena;
  const subscribers = ['s1', 's2', 's3', 's4'].map(
    (name, index) => new Subscriber(name, urls, ROOM, CHANNELS, index >= 2, random.fork()),
  );
  return { publishers: [], subscribers };
}

function launch(arena: Arena, random: Random): Publisher[] {
  const { urls } = arena;
  const known = new Map<string, Position>();
  return ['p1', 'p2', 'p3'].map((name) => new Publisher(name, urls, ROOM, CHANNELS, known, random.fork()));
}

/** After all repairs: lets clients finish, then compares what everyone has. */
async function calm(
  arena: Arena,
  publishers: AnyPublisher[],
  subscribers: AnySubscriber[],
  killed: number,
): Promise<Verdict> {
  const printed = (): string => printedBy(arena.nodes);
  if (!(await within(Promise.all(arena.nodes.map(healthy))))) return unsettled(`a node does not recover\n${printed()}`);
  if (!(await within(Promise.all(publishers.map((publisher) => publisher.finish()))))) {
    const open = publishers.map(({ unanswered }) => unanswered).join(', ');
    return unsettled(`messages stay without an ack: ${open}\n${printed()}`);
  }
  const reading = Promise.all(arena.nodes.map(({ name, url }) => readAll(name, url)));
  if (!(await within(reading))) return unsettled(`a history does not answer\n${printed()}`);
  const readings = (await reading).flat();
  const ends = readings.map(({ channel, epoch, events }) => ({ channel, epoch, end: events.at(-1)?.sequence ?? 0 }));
  const late: string[] = [];
  await Promise.all(
    subscribers.flatMap((subscriber) =>
      ends.map(async ({ channel, epoch, end }) => {
        if (end === 0 || (await within(subscriber.reached(channel, end, epoch)))) return;
        const { sequence, epoch: itsEpoch } = subscriber.streams.get(channel)?.position ?? {};
        late.push(`${subscriber.name} stays at ${channel} ${sequence} of ${end}, in epoch ${itsEpoch} of ${epoch}`);
      }),
    ),
  );
  if (!(await within(Promise.all([...publishers, ...subscribers].map((client) => client.leave()))))) {
    return unsettled(`a client does not close\n${printed()}`);
  }
  await Promise.all(arena.nodes.map((node) => node.stop()));
  const stored = new Map<string, StoredStream>();
  for (const channel of CHANNELS) {
    // For storage that does not survive its process, only the servers can be read.
    const told = readings.find((reading) => reading.channel === channel) as Reading;
    stored.set(channel, arena.read === null ? told : await arena.read(ROOM, channel));
  }
  const verdict = judge({ publishers, subscribers, stored, readings, mayForget: arena.read === null ? killed : 0 });
  const faults = [...late, ...verdict.faults];
  return faults.length === 0 ? verdict : { ...verdict, faults: [...faults, printed()] };
}

/** The verdict when there is nothing to compare. */
function unsettled(fault: string): Verdict {
  return { found: 0, lost: 0, forgotten: 0, doubled: 0, reordered: 0, untold: 0, faults: [fault] };
}

/** All events of every channel, from one server's `history`. */
async function readAll(name: string, url: string): Promise<Reading[]> {
  const peer = await Peer.connect(url);
  const readings: Reading[] = [];
  for (const channel of CHANNELS) {
    const events: Received[] = [];
    let epoch = '';
    for (let after: number | null = 0; after !== null; ) {
      const page = await peer.ask('history', { room: ROOM, channel, after, limit: PAGE });
      for (const { id, metadata } of page.messages) events.push({ sequence: metadata.sequence, id });
      epoch = page.messages[0]?.metadata.epoch ?? epoch;
      after = page.next;
    }
    readings.push({ reader: `the history of ${name}`, channel, epoch, events });
  }
  await peer.close();
  return readings;
}

function account(
  publishers: AnyPublisher[],
  subscribers: AnySubscriber[],
): Omit<Survival, keyof Damage | keyof Verdict> {
  const sum = <T>(all: readonly T[], count: (one: T) => number): number =>
    all.reduce((total, one) => total + count(one), 0);
  const received = (one: AnySubscriber): number => sum([...one.streams.values()], (stream) => stream.received.length);
  return {
    acked: sum(publishers, ({ acked }) => acked.length),
    liveOnly: sum(publishers, ({ acked }) => acked.filter(({ stored }) => stored === 'none').length),
    received: sum(subscribers, received),
    reconnects: sum([...publishers, ...subscribers], ({ connections }) => connections - 1),
    replayed: sum(subscribers, ({ replayed }) => replayed),
    resent: sum(publishers, ({ resent }) => resent),
    duplicates: sum(publishers, ({ duplicates }) => duplicates),
    gapsTold: sum(subscribers, ({ gapsTold }) => gapsTold),
    putOff: sum(subscribers, ({ putOff }) => putOff),
  };
}
