import { ArqonBusClient } from './client.ts';
import type { ArqonBusError } from './errors.ts';
import type { Message } from './message.ts';
import type { ClientOptions } from './options.ts';
import { FakeServer } from './testing/fake-server.ts';

/** The payload that tests of order count with. */
export interface Numbered {
  n: number;
}

/** A client connected to a fake server of its own, and what it reported. */
export async function setUp(options: Partial<ClientOptions> = {}) {
  const server = new FakeServer();
  const client = new ArqonBusClient({ ...server.options, ...options });
  const errors: ArqonBusError[] = [];
  client.on('error', (error) => void errors.push(error));
  await client.connect();
  const { clock } = server;
  /** Breaks the line, unless it is away already, and waits until it is back. */
  const reconnect = async (): Promise<void> => {
    if (client.state === 'open') server.kill();
    await clock.advance(1_000);
  };
  return { server, client, errors, clock, reconnect };
}

/** What a promise rejects with. */
export function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => 'resolved',
    (error) => error,
  );
}

export function numbers(messages: readonly Message<Numbered>[]): number[] {
  return messages.map(({ payload }) => payload.n);
}

/** The next `count` items; fewer when the iteration ends before. */
export async function take<T>(from: AsyncIterable<T>, count: number): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of from) {
    taken.push(item);
    if (taken.length === count) break;
  }
  return taken;
}
