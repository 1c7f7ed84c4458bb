import type { Bus, Channel, StreamEvent, Tap } from '@arqonbus/bus';
import type { Logger } from '../log.ts';

/**
 * Emits `message_routed` events for a sample of routed messages. The telemetry room is excluded, or each event would
 * cause another.
 *
 * @param rate 0 to 1; 0 disables sampling at no cost
 * @param random returns numbers in [0, 1)
 * @returns the function that stops it
 */
export function sampleRouting(bus: Bus, rate: number, random: () => number = Math.random): () => void {
  if (rate === 0) return () => {};
  let sampled: (() => void)[] = [];
  const tell = (): void => {
    const due = sampled;
    sampled = [];
    for (const emit of due) emit();
  };
  return bus.hub.tap((event, channel) => {
    if (channel.room === bus.options.telemetryRoom || random() >= rate) return;
    // Emitting publishes an event, which must not happen during another delivery.
    if (sampled.length === 0) setImmediate(tell);
    sampled.push(() => bus.events.emit('message_routed', channel.tenant, routed(event, channel)));
  });
}

/** Logs each routed message if the debug level is enabled. Returns the function that stops it. */
export function logRouting(bus: Bus, log: Logger): () => void {
  if (!log.isLevelEnabled('debug')) return () => {};
  const tap: Tap = (event, channel) => {
    log.debug({ tenant: channel.tenant, ...routed(event, channel) }, 'message routed');
  };
  return bus.hub.tap(tap);
}

/** The loggable facts of a message: everything except its content. */
function routed(event: StreamEvent, { room, channel }: Channel): Record<string, unknown> {
  const { id, from, sequence, text } = event;
  return { message_id: id, client_id: from, room, channel, sequence, characters: text.length };
}
