import type { ArqonBusClient } from '@arqonbus/client';
import { effect, signal, untracked } from '@preact/signals';
import { Questions } from '../model/questions.ts';
import { client, isAtLeast } from './session.ts';

/** Messages of the past that are looked through for questions. */
const LOOKED_THROUGH = 500;
const EVERY_MS = 1_000;
/** Where this tab keeps which of them were answered: mail stays until its time is over. */
const ANSWERED = 'arqonbus.answered';

/** What people are asked here, whichever view is open. */
export const questions: Questions = new Questions(Date.now, readAnswered());
/** Who this page acts for, as the bus knows it; null where that is nobody. */
export const subject = signal<string | null>(null);

/** Takes the requests that come to this connection, and those that wait in the mailbox of its subject. */
export function startAsking(): void {
  setInterval(() => questions.sweep(), EVERY_MS);
  effect(() => {
    const { value: now } = client;
    return untracked(() => listen(now));
  });
}

/** Listens to a client instead of the one before; answers the way to stop. */
function listen(now: ArqonBusClient | null): (() => void) | undefined {
  questions.clear();
  subject.value = null;
  if (now === null) return undefined;
  const stop = now.on('private', ({ envelope }) => questions.take(envelope));
  // Whoever may not do this has no subject that could be asked; what comes to the connection is shown all the same.
  if (isAtLeast('user')) void watchMailbox(now).catch(() => {});
  return stop;
}

async function watchMailbox(now: ArqonBusClient): Promise<void> {
  const { sender } = await now.command('identify', {});
  if (client.value !== now || sender.subject === undefined) return;
  subject.value = sender.subject;
  // Without a group: whoever reads the mailbox elsewhere gets all of it.
  await now.subscribe(`@${sender.subject}`, {
    history: LOOKED_THROUGH,
    onMessage: ({ envelope }) => questions.take(envelope),
  });
}

/** It was answered, or is left: not shown again in this tab. */
export function settle(id: string): void {
  questions.settle(id);
  sessionStorage.setItem(ANSWERED, JSON.stringify(questions.settled));
}

function readAnswered(): string[] {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(ANSWERED) ?? '[]');
    return Array.isArray(stored) ? stored.filter((one) => typeof one === 'string') : [];
  } catch {
    return [];
  }
}
