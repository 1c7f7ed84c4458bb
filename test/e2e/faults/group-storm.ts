import type { Position } from '@arqonbus/protocol';
import { Peer } from '../../fixtures/peer.ts';
import { type Arena, type Engine, type Mode, openArena } from './arena.ts';
import { Chaos, type Damage } from './chaos.ts';
import { type GroupStanding, type GroupVerdict, judgeGroup } from './group-verdict.ts';
import { Publisher } from './publisher.ts';
import { Random } from './random.ts';
import { healthy, printedBy, within } from './settled.ts';
import { tellStory } from './story.ts';
import { type GroupOfStorm, Worker } from './worker.ts';

const CHANNELS = ['wind', 'rain', 'hail'] as const;
/** A group of the whole room: it reads all channels. */
const GROUP: GroupOfStorm = { room: 'storm', channel: '*', group: 'crew', ackWaitMs: 2_000 };
const POLL_MS = 100;

export interface GroupStormOptions {
  readonly engine: Engine;
  readonly mode: Mode;
  readonly seconds: number;
  readonly seed: number;
}

/** What a storm broke, and the outcome for the events of a group. */
export interface GroupSurvival extends Damage, Omit<GroupVerdict, 'suspects'> {
  readonly published: number;
  /** Deliveries of all events. */
  readonly handedOut: number;
  /** Reconnects of workers. */
  readonly reconnects: number;
}

/**
 * A storm over a group: workers that lose their connections or freeze, servers and storage that are killed, at moments
 * determined by the seed. Afterwards every event must be handled, and none redelivered after its ack.
 */
export async function groupStorm({ engine, mode, seconds, seed }: GroupStormOptions): Promise<GroupSurvival> {
  const random = new Random(seed);
  const arena = await openArena(engine, mode);
  const { urls } = arena;
  const workers: Worker[] = [];
  const publishers: Publisher[] = [];
  try {
    await makeGroup(urls[0] as string);
    workers.push(...['w1', 'w2', 'w3', 'w4'].map((name) => new Worker(name, urls, GROUP, random.fork())));
    await Promise.all(workers.map((worker) => worker.joined()));
    const known = new Map<string, Position>();
    publishers.push(
      ...['p1', 'p2'].map((name) => new Publisher(name, urls, GROUP.room, CHANNELS, known, random.fork())),
    );
    const chaos = new Chaos(arena, [...publishers, ...workers], random.fork());
    await chaos.rage(seconds);
    const { suspects, ...verdict } = await settle(arena, publishers, workers);
    const handed = workers.flatMap((worker) => worker.handed);
    const stories = suspects.map((id) => tellStory(id, handed, chaos.moments));
    const faults = verdict.faults.length === 0 ? [] : [...verdict.faults, ...stories, printedBy(arena.nodes)];
    return {
      ...chaos.damage,
      published: publishers.reduce((sum, { acked }) => sum + acked.length, 0),
      handedOut: handed.length,
      reconnects: workers.reduce((sum, { connections }) => sum + connections - 1, 0),
      ...verdict,
      faults,
    };
  } finally {
    await Promise.all([...publishers, ...workers].map((client) => client.leave()));
    await arena.close();
  }
}

async function makeGroup(url: string): Promise<void> {
  const peer = await Peer.connect(url);
  const { room, channel, group, ackWaitMs } = GROUP;
  const settings = { start: 'all', ack_wait_seconds: ackWaitMs / 1000, backoff_seconds: [0.1], max_attempts: 1_000 };
  await peer.ask('group.create', { room, channel, group, ...settings });
  await peer.close();
}

/** After all repairs: waits until the group has nothing left to do, and judges the result. */
async function settle(arena: Arena, publishers: Publisher[], workers: Worker[]): Promise<GroupVerdict> {
  const none = { handled: 0, lost: 0, doubled: 0, stale: 0, suspects: [] };
  if (!(await within(Promise.all(arena.nodes.map(healthy))))) return { ...none, faults: ['a node does not recover'] };
  if (!(await within(Promise.all(publishers.map((publisher) => publisher.finish()))))) {
    return { ...none, faults: ['messages stay without an ack'] };
  }
  const peer = await Peer.connect(arena.nodes[0]?.url as string);
  // Unfinished events on timeout show in the standing.
  await within(untilSettled(peer));
  const standing = await standingOf(peer);
  const at = Date.now();
  await peer.close();
  await Promise.all(workers.map((worker) => worker.leave()));
  const acked = publishers.flatMap((publisher) => publisher.acked);
  const verdict = judgeGroup({ acked, handed: workers.flatMap(({ handed }) => handed), standing, at });
  const complaints = publishers.flatMap((publisher) => publisher.complaints);
  return { ...verdict, faults: [...complaints, ...verdict.faults] };
}

/** Resolves when no event is pending or unacknowledged. */
async function untilSettled(peer: Peer): Promise<void> {
  for (;;) {
    const standing = await standingOf(peer);
    if (standing.pending + standing.unacked === 0) return;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function standingOf(peer: Peer): Promise<GroupStanding> {
  const { room, channel, group } = GROUP;
  for (;;) {
    const answer = await peer.command('group.info', { room, channel, group });
    // A killed driver is replaced after a while.
    if (answer.status === 'success') return answer.payload as unknown as GroupStanding;
    if (answer.payload.retryable !== true) throw new Error(`group.info: ${answer.error_code} ${answer.error}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
