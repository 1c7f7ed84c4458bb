import { setTimeout as pause } from 'node:timers/promises';
import type { BusProcess } from './bus-process.ts';

/** How long the last ack or the last message may take once everything runs again. */
const CALM_MS = 45_000;
/** After that a server is asked once more. */
const ANSWER_MS = 5_000;

/** Whether it was done in time. */
export async function within(done: Promise<unknown>, limitMs: number = CALM_MS): Promise<boolean> {
  const control = new AbortController();
  const late = pause(limitMs, false, { signal: control.signal }).catch(() => false);
  const inTime = await Promise.race([done.then(() => true), late]);
  control.abort();
  return inTime;
}

/** Resolves when a node has its storage again. Nobody is told when that is; it has to be asked. */
export async function healthy({ http }: Pick<BusProcess, 'http'>): Promise<void> {
  for (;;) {
    // `/health` overlooks an interruption that is still short.
    const answer = await fetch(`${http}/storage/stats`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => null);
    const stats = (await answer?.json().catch(() => undefined)) as { connected: boolean } | undefined;
    if (stats?.connected === true) return;
    await pause(50);
  }
}

/** What the servers of a storm printed, the last of it. */
export function printedBy(nodes: readonly BusProcess[]): string {
  return nodes.map((node) => `${node.name}: ${node.printed}`).join('\n');
}
