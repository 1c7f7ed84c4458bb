import { setTimeout as pause } from 'node:timers/promises';
import type { Figures } from './figures.ts';
import { machineCpuSeconds } from './machine-time.ts';

/** Share of one core that other work may take before it shows in the figures of a 2-core machine. */
const DISTURBING = 0.15;
const LOOK_MS = 300;
const WAIT_MS = 30_000;

/** Waits until the machine has nothing else to do, but not forever: the runs say themselves whether they were disturbed. */
async function waitForQuiet(): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (Date.now() < deadline) {
    const before = machineCpuSeconds();
    if (before === undefined) return;
    await pause(LOOK_MS);
    if ((machineCpuSeconds()! - before) / (LOOK_MS / 1000) <= DISTURBING) return;
  }
}

/** Whether other work took so much of the machine during a run that its figures say more about that. */
export function isDisturbed(figures: Figures): boolean {
  return (figures.otherCpuShare ?? 0) > DISTURBING;
}

/** Measures in a quiet moment; what was disturbed all the same is measured again, and the least disturbed of all counts. */
export async function leastDisturbed(
  attempts: number,
  measure: () => Promise<Figures>,
  quiet: () => Promise<void> = waitForQuiet,
): Promise<Figures> {
  let best: Figures | undefined;
  for (let attempt = 0; attempt < attempts; attempt++) {
    // A run that gets one try only is wanted now, not in a better moment.
    if (attempts > 1) await quiet();
    const figures = await measure();
    if (!isDisturbed(figures)) return figures;
    if (best === undefined || figures.otherCpuShare! < best.otherCpuShare!) best = figures;
  }
  return best!;
}
