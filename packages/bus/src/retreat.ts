import { setTimeout as delay } from 'node:timers/promises';
import { CLOSE } from '@arqonbus/protocol';
import type { Session } from './connection/session.ts';
import type { Core } from './core.ts';
import { atMost } from './timers.ts';

/** How often a slice goes, how long its answers may take, and its close frames, in milliseconds. */
const SLICE_MS = 100;
const SETTLE_MS = 500;
const CLOSE_MS = 2_000;

/**
 * Sends the clients that are there away in even slices over `overMs`. Each is told first, and what it sent is answered;
 * who leaves by itself counts as sent away. A slice that is late is larger, and its clients are told to come back over as much
 * more time, so that no other node gets them all at once. `settled` resolves when all that was accepted so far has been answered.
 */
export async function sendAwayOver(core: Core, settled: () => Promise<unknown>, overMs: number): Promise<void> {
  let staying = [...core.sessions()];
  const total = staying.length;
  const began = performance.now();
  const leaving: Promise<void>[] = [];
  const sendAway = async (sessions: readonly Session[], spreadMs: number): Promise<void> => {
    core.announceShutdown(spreadMs, sessions);
    await atMost(SETTLE_MS, settled());
    for (const session of sessions) core.closeSession(session, CLOSE.GOING_AWAY, 'server shutting down', CLOSE_MS);
  };
  let lookedAt = began;
  while (staying.length > 0) {
    await delay(Math.min(SLICE_MS, overMs));
    staying = staying.filter(({ closed }) => !closed);
    const now = performance.now();
    const due = Math.floor(total * Math.min(1, (now - began) / overMs)) - (total - staying.length);
    if (due > 0) leaving.push(sendAway(staying.splice(0, due), Math.min(overMs, Math.max(SLICE_MS, now - lookedAt))));
    lookedAt = now;
  }
  await Promise.all(leaving);
}
