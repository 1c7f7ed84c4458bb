import { afterEach, expect } from 'vitest';
import { degraded } from '../degraded.ts';
import type { Engine, Published, Retention, StreamAddress, StreamEvent } from '../engine.ts';
import { publication, Recorder, range } from '../suite/rig.suite.ts';
import { createRedisEngine, type RedisEngineOptions } from './redis.ts';

export interface Node {
  readonly engine: Engine;
  readonly seen: Recorder;
}

/** Longer than any test takes to bring a server back, however busy the machine is. */
export const PATIENT = 45_000;
/** So short that a test need not wait for it. */
export const IMPATIENT = 200;

export interface NodeOptions extends Partial<RedisEngineOptions> {
  readonly url: string;
  /** `degraded` when left out. */
  readonly mode?: 'degraded' | 'strict';
}

/** Opens nodes, and closes them after the test that did. */
export function useNodes(): (options: NodeOptions) => Promise<Node> {
  let opened: Engine[] = [];
  afterEach(async () => {
    await Promise.all(opened.map((engine) => engine.close()));
    opened = [];
  });
  return async ({ mode, ...options }) => {
    const strict = createRedisEngine({ backend: 'redis', nodeId: 'node-a', ...options });
    const engine = mode === 'strict' ? strict : degraded(strict);
    opened.push(engine);
    const seen = new Recorder();
    await engine.open(seen);
    return { engine, seen };
  };
}

/** Resolves when the node has been told that its backend is (or is not) healthy, since it was told otherwise. */
export function toldHealth({ seen }: Node, healthy: boolean): Promise<void> {
  return seen.until(() => seen.healthStates.at(-1)?.healthy === healthy);
}

/** Keeps all that a test publishes. */
export const KEPT: Retention = { size: 100_000, ttlMs: 86_400_000 };

/** What became of one publication. */
export interface Outcome {
  readonly id: string;
  readonly published: Published;
}

/** Publishes without a pause until it is stopped, several at a time, and answers every outcome. */
export function publishOn(
  node: Node,
  to: StreamAddress,
  name: string,
): { stop(): Promise<Outcome[]>; count(): number } {
  let going = true;
  const outcomes: Outcome[] = [];
  const publisher = async (number: number): Promise<void> => {
    for (let n = 0; going; n += 1) {
      const id = `arq_${name}_${number}_${n}`;
      const published = await node.engine.broker.publish(
        publication(to, { id, identity: `${name}-${number}`, retention: KEPT }),
      );
      outcomes.push({ id, published });
      // A node whose backend is away answers at once.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const publishers = range(1, 8).map(publisher);
  return {
    async stop() {
      going = false;
      await Promise.all(publishers);
      return outcomes;
    },
    count: () => outcomes.length,
  };
}

/** The events were stored once each, in an unbroken sequence, in the order of each of their senders. */
export function expectWhole(events: readonly StreamEvent[]): void {
  const stored = events.filter((event) => event.sequence > 0);
  expect(stored.map((event) => event.sequence)).toEqual(range(1, stored.length));
  expect(new Set(stored.map((event) => event.id)).size).toBe(stored.length);
  const last = new Map<string, number>();
  for (const { id } of stored) {
    const cut = id.lastIndexOf('_');
    const number = Number(id.slice(cut + 1));
    expect(number).toBeGreaterThan(last.get(id.slice(0, cut)) ?? -1);
    last.set(id.slice(0, cut), number);
  }
}
