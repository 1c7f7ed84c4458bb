import { setTimeout as delay } from 'node:timers/promises';
import { CLOSE } from '@arqonbus/protocol';
import type { Session } from './connection/session.ts';
import type { Core } from './core.ts';
import { atMost } from './timers.ts';

/** Milliseconds between slices, and the timeouts for a slice's answers and close frames. */
const SLICE_MS = 100;
const SETTLE_MS = 500;
const CLOSE_MS = 2_000;

/**
 * Disconnects the current clients in even slices over `overMs`. Each is notified first, and its requests are answered;
 * clients that leave on their own count too. Clients of a late, larger slice are told to reconnect over a longer time,
 * so that no other node gets them all at once. `settled` resolves when everything accepted so far is answered.
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
