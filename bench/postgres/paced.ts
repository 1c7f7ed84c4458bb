import type { ArqonBusClient } from '@arqonbus/client';

const TEXT = 'x'.repeat(180);
/** How often due publishes are checked, in milliseconds. */
const TICK_MS = 1;

export interface Acks {
  /** The number of acks. */
  readonly count: number;
  readonly perSecond: number;
  /** From the due time of a publish to its ack, in milliseconds. */
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/**
 * Publishes at an even rate, to the channels in turn and over all clients, until `until` resolves. The rate does not
 * depend on the acks, so a stall shows in everything that was due during it. Rejects if a publish is refused.
 */
export async function publishPaced(
  clients: readonly ArqonBusClient[],
  { rate, channels, until }: { rate: number; channels: readonly string[]; until: Promise<unknown> },
): Promise<Acks> {
  const times: number[] = [];
  const underWay = new Set<Promise<void>>();
  const began = performance.now();
  let sent = 0;
  let fault: Error | undefined;
  const publishDue = (): void => {
    const due = Math.floor(((performance.now() - began) * rate) / 1_000);
    for (; sent < due; sent += 1) {
      const dueAt = began + ((sent + 1) * 1_000) / rate;
      const client = clients[sent % clients.length] as ArqonBusClient;
      const answer = client.publish(channels[sent % channels.length] as string, { text: TEXT }).then(
        () => void times.push(performance.now() - dueAt),
        (error: Error) => {
          fault ??= error;
        },
      );
      underWay.add(answer);
      void answer.then(() => underWay.delete(answer));
    }
  };
  const timer = setInterval(publishDue, TICK_MS);
  await until;
  clearInterval(timer);
  const lasted = performance.now() - began;
  await Promise.all(underWay);
  if (fault !== undefined) throw fault;
  times.sort((one, other) => one - other);
  const at = (share: number): number => times[Math.max(0, Math.ceil((times.length * share) / 100) - 1)] ?? 0;
  return { count: times.length, perSecond: (sent * 1_000) / lasted, p50: at(50), p99: at(99), max: at(100) };
}
