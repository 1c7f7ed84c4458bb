import { setTimeout as pause } from 'node:timers/promises';
import type { Figures } from './figures.ts';
import { machineCpuSeconds } from './machine-time.ts';

/** Share of one core that other load may use before it affects the figures of a 2-core machine. */
const DISTURBING = 0.15;
const LOOK_MS = 300;
const WAIT_MS = 30_000;

/** Waits until the machine is idle, but not forever: the runs report whether they were disturbed. */
async function waitForQuiet(): Promise<void> {
  const deadline = Date.now() + WAIT_MS;
  while (Date.now() < deadline) {
    const before = machineCpuSeconds();
    if (before === undefined) return;
    await pause(LOOK_MS);
    if ((machineCpuSeconds()! - before) / (LOOK_MS / 1000) <= DISTURBING) return;
  }
}

/** Whether other load during a run makes its figures unreliable. */
export function isDisturbed(figures: Figures): boolean {
  return (figures.otherCpuShare ?? 0) > DISTURBING;
}

/** Measures when the machine is idle; repeats disturbed runs, and returns the least disturbed one. */
export async function leastDisturbed(
  attempts: number,
  measure: () => Promise<Figures>,
  quiet: () => Promise<void> = waitForQuiet,
): Promise<Figures> {
  let best: Figures | undefined;
  for (let attempt = 0; attempt < attempts; attempt++) {
    // A run with a single attempt does not wait.
    if (attempts > 1) await quiet();
    const figures = await measure();
    if (!isDisturbed(figures)) return figures;
    if (best === undefined || figures.otherCpuShare! < best.otherCpuShare!) best = figures;
  }
  return best!;
}
