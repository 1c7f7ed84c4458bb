import type { ArqonBusClient } from '@arqonbus/client';
import { effect, signal, untracked } from '@preact/signals';
import { Questions } from '../model/questions.ts';
import { client, isAtLeast } from './session.ts';

/** History messages searched for questions. */
const LOOKED_THROUGH = 500;
const EVERY_MS = 1_000;
/** Session storage key for answered questions: mail stays until it expires. */
const ANSWERED = 'arqonbus.answered';

/** The questions for people, independent of the open view. */
export const questions: Questions = new Questions(Date.now, readAnswered());
/** The subject of this page, as known to the bus; null if there is none. */
export const subject = signal<string | null>(null);

/** Collects the requests to this connection, and those in the mailbox of its subject. */
export function startAsking(): void {
  setInterval(() => questions.sweep(), EVERY_MS);
  effect(() => {
    const { value: now } = client;
    return untracked(() => listen(now));
  });
}

/** Listens to a client in place of the previous one; returns a function that stops it. */
function listen(now: ArqonBusClient | null): (() => void) | undefined {
  questions.clear();
  subject.value = null;
  if (now === null) return undefined;
  const stop = now.on('private', ({ envelope }) => questions.take(envelope));
  // Lower roles have no subject to ask; requests to the connection itself are shown anyway.
  if (isAtLeast('user')) void watchMailbox(now).catch(() => {});
  return stop;
}

async function watchMailbox(now: ArqonBusClient): Promise<void> {
  const { sender } = await now.command('identify', {});
  if (client.value !== now || sender.subject === undefined) return;
  subject.value = sender.subject;
  // Without a group, so that other readers of the mailbox still get all of it.
  await now.subscribe(`@${sender.subject}`, {
    history: LOOKED_THROUGH,
    onMessage: ({ envelope }) => questions.take(envelope),
  });
}

/** Marks a question as answered or dismissed: it is not shown again in this tab. */
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
