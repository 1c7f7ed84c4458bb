import { envelopeFor } from '../envelope.ts';
import type { Dialect } from '../peers/peer.ts';
import type { Connection } from './connection.ts';
import { OPCODE_BINARY, OPCODE_TEXT } from './frame-bytes.ts';
import { MessageTemplate } from './message.ts';
import { clock, type Tally } from './tally.ts';

/** Closer to a due time than this, yield instead of using a timer, whose resolution of a millisecond is too coarse. */
const CLOSE_US = 2000;

/** The messages of a channel's publisher. */
export function templateFor(dialect: Dialect, channel: string): MessageTemplate {
  const opcode = dialect.frames === 'text' ? OPCODE_TEXT : OPCODE_BINARY;
  const text = dialect.publish(envelopeFor(channel), channel);
  return new MessageTemplate(text, dialect.transport === 'websocket' ? opcode : undefined);
}

/** A running publisher. */
export interface Publishing {
  /** Stops sending. */
  stop(): void;
}

/** Keeps `window` messages in flight: all that complete within one received chunk are replaced in one write. */
export function publishWindow(
  publisher: Connection,
  template: MessageTemplate,
  tally: Tally,
  window: number,
): Publishing {
  const refill = (): void => {
    const free = window - tally.inFlight;
    const first = tally.published + 1;
    tally.publishing(free);
    publisher.write(template.frames(first, free, clock()));
  };
  tally.onProgress = refill;
  refill();
  return {
    stop: () => {
      tally.onProgress = () => {};
    },
  };
}

/**
 * Sends `rate` messages per second, evenly. Each contains the time it was due, not the time it was sent: a stall of the
 * server or the generator shows in the latency of everything it delayed.
 */
export function publishPaced(publisher: Connection, template: MessageTemplate, tally: Tally, rate: number): Publishing {
  const start = clock();
  let stopped = false;
  const dueTime = (count: number): number => start + Math.round((count * 1_000_000) / rate);
  const tick = (): void => {
    if (stopped) return;
    let ahead = dueTime(tally.published) - clock();
    while (ahead <= 0) {
      const due = dueTime(tally.published);
      tally.publishing(1);
      publisher.write(template.frames(tally.published, 1, due));
      ahead = dueTime(tally.published) - clock();
    }
    // Polls while messages are in flight: on loopback the sender pays for waking a sleeping receiver, which it would
    // not for a remote client.
    if (ahead > CLOSE_US && tally.inFlight === 0) setTimeout(tick, (ahead - CLOSE_US) / 1000);
    else setImmediate(tick);
  };
  tick();
  return {
    stop: () => {
      stopped = true;
    },
  };
}
