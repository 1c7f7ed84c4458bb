import type { Bus, Channel, StreamEvent, Tap } from '@arqonbus/bus';
import type { Logger } from '../log.ts';

/**
 * Makes `message_routed` events of a share of all routed messages. Traffic of the telemetry room is left out, or each
 * event would make another.
 *
 * @param rate 0 to 1; with 0 nothing is watched and routing costs nothing more
 * @param random gives numbers from 0 up to 1
 * @returns the way to stop
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
    // An event is published too, which must not happen in the midst of another delivery.
    if (sampled.length === 0) setImmediate(tell);
    sampled.push(() => bus.events.emit('message_routed', channel.tenant, routed(event, channel)));
  });
}

/** Writes a line for each routed message, if the log takes such lines. Returns the way to stop. */
export function logRouting(bus: Bus, log: Logger): () => void {
  if (!log.isLevelEnabled('debug')) return () => {};
  const tap: Tap = (event, channel) => {
    log.debug({ tenant: channel.tenant, ...routed(event, channel) }, 'message routed');
  };
  return bus.hub.tap(tap);
}

/** What may be told of a message: everything but its content. */
function routed(event: StreamEvent, { room, channel }: Channel): Record<string, unknown> {
  const { id, from, sequence, text } = event;
  return { message_id: id, client_id: from, room, channel, sequence, characters: text.length };
}
