import { setTimeout as pause } from 'node:timers/promises';
import type { BusProcess } from './bus-process.ts';

/** Timeout for the last ack or message after all repairs. */
const CALM_MS = 45_000;
/** Timeout of one request before it is retried. */
const ANSWER_MS = 5_000;

/** Whether it was done in time. */
export async function within(done: Promise<unknown>, limitMs: number = CALM_MS): Promise<boolean> {
  const control = new AbortController();
  const late = pause(limitMs, false, { signal: control.signal }).catch(() => false);
  const inTime = await Promise.race([done.then(() => true), late]);
  control.abort();
  return inTime;
}

/** Resolves when a node has its storage again. There is no notification, so it is polled. */
export async function healthy({ http }: Pick<BusProcess, 'http'>): Promise<void> {
  for (;;) {
    // `/health` ignores short interruptions.
    const answer = await fetch(`${http}/storage/stats`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
    const stats = (await answer?.json().catch(() => undefined)) as { connected: boolean } | undefined;
    if (stats?.connected === true) return;
    await pause(50);
  }
}

/** The end of the output of a storm's servers. */
export function printedBy(nodes: readonly BusProcess[]): string {
  return nodes.map((node) => `${node.name}: ${node.printed}`).join('\n');
}
