import type { CronJob } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Sender } from '../../connection/session.ts';
import { SharedBackend } from '../cluster.suite.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { BusRig, onEnd, ownerOf, turn } from '../rig.suite.ts';
import { type CronOperator, createCronOperator } from './cron.ts';

interface Cluster {
  readonly nodes: readonly BusRig<CronOperator>[];
  readonly clock: FakeClock;
  readonly backend: SharedBackend;
  /** Iterations that the first node saw published, in their order. */
  readonly fired: number[];
}

/** Nodes with one backend and one clock, all of them members of `r:x`. */
async function openCluster(size: number): Promise<Cluster> {
  const clock = new FakeClock();
  const backend = new SharedBackend(clock);
  await backend.open();
  onEnd(() => backend.close());
  const nodes: BusRig<CronOperator>[] = [];
  for (let n = 0; n < size; n += 1) {
    const create = (bus: BusRig<CronOperator>['bus']): CronOperator => createCronOperator(bus, { clock });
    const options = { node: `node-${n}`, now: (): number => clock.now() };
    nodes.push(await new BusRig(backend.node().engine, create, options).start());
  }
  const fired: number[] = [];
  nodes[0]?.bus.hub.tap(({ stream, text }) => {
    if (stream.room === 'r') fired.push(JSON.parse(text).metadata.iteration);
  });
  await nodes[0]?.bus.interest.add('default', 'r');
  return { nodes, clock, backend, fired };
}

const DURABLE = {
  room: 'r',
  channel: 'x',
  payload: {},
  delay_seconds: 1,
  interval_seconds: 1,
  repeat_count: 0,
  durable: true,
};

/** Lets time pass a second at a time, and what it starts come to its end. */
async function pass(clock: FakeClock, seconds: number): Promise<void> {
  for (let n = 0; n < seconds; n += 1) {
    clock.advance(1_000);
    for (let settling = 0; settling < 10; settling += 1) await turn();
  }
}

function schedule(node: BusRig<CronOperator> | undefined, sender: Sender, args: object = {}): Promise<CronJob> {
  return node!.run(sender, 'op.cron.schedule', { ...DURABLE, ...args });
}

async function jobsOf(node: BusRig<CronOperator> | undefined): Promise<CronJob[]> {
  return (await node!.run(node!.connect(), 'op.cron.list', {})).jobs;
}

describe('durable jobs in a cluster', () => {
  it('fire each run once, on whichever node', async () => {
    const { nodes, clock, fired } = await openCluster(3);
    await schedule(nodes[1], nodes[1]!.connect());
    await pass(clock, 5);
    expect(fired).toEqual([1, 2, 3, 4, 5]);
    expect(nodes.reduce((sum, { operator }) => sum + operator.counts.fired, 0)).toBe(5);
    for (const node of nodes) expect(await jobsOf(node)).toHaveLength(1);
  });

  it('end on all nodes when one of them cancels, and do not come back', async () => {
    const { nodes, clock, fired, backend } = await openCluster(2);
    const { job_id } = await schedule(nodes[0], nodes[0]!.connect());
    await pass(clock, 2);
    // The run that is under way elsewhere writes its state only after the job was cancelled.
    clock.advance(1_000);
    await nodes[1]!.run(nodes[1]!.connect(), 'op.cron.cancel', { job_id });
    await pass(clock, 3);
    expect(fired.length).toBeLessThanOrEqual(3);
    for (const node of nodes) expect(await jobsOf(node)).toEqual([]);
    expect(await backend.store.tenants('cron')).toEqual([]);
  });

  it('follow the owner’s token wherever it was renewed', async () => {
    const { nodes, clock, fired } = await openCluster(2);
    const owner = nodes[0]!.connect({ subject: 'ada' });
    await schedule(nodes[0], owner);
    await pass(clock, 2);
    expect(fired).toEqual([1, 2]);
    owner.principal = ownerOf({ subject: 'ada', grants: { publish: ['other:*'] } });
    await pass(clock, 3);
    const refused = nodes.reduce((sum, { operator }) => sum + operator.counts.refused, 0);
    // The other node may win one more run before it hears of it.
    expect(fired.length).toBeLessThanOrEqual(3);
    expect(refused + fired.length).toBe(5);
  });

  it('count together towards the quota', async () => {
    const { nodes } = await openCluster(2);
    const owners = nodes.map((node) => node.connect({ subject: 'ada' }));
    for (let n = 0; n < 20; n += 1) await schedule(nodes[n % 2], owners[n % 2]!);
    for (const [index, node] of nodes.entries()) {
      expect(await node.refused(owners[index]!, 'op.cron.schedule', DURABLE)).toMatchObject({
        code: 'LIMIT_EXCEEDED',
        details: { quota: 'owner_keys', limit: 20 },
      });
    }
  });
});
