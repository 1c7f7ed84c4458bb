import { envelopeFor } from '../envelope.ts';
import type { Dialect } from '../peers/peer.ts';
import type { Connection } from './connection.ts';
import { OPCODE_BINARY, OPCODE_TEXT } from './frame-bytes.ts';
import { MessageTemplate } from './message.ts';
import { clock, type Tally } from './tally.ts';

/** From this far ahead a due time is waited for by yielding instead of by a timer, which is a millisecond too coarse. */
const CLOSE_US = 2000;

/** What a publisher of a channel sends. */
export function templateFor(dialect: Dialect, channel: string): MessageTemplate {
  const opcode = dialect.frames === 'text' ? OPCODE_TEXT : OPCODE_BINARY;
  const text = dialect.publish(envelopeFor(channel), channel);
  return new MessageTemplate(text, dialect.transport === 'websocket' ? opcode : undefined);
}

/** A running publisher. */
export interface Publishing {
  /** Sends nothing more. */
  stop(): void;
}

/** Keeps `window` messages in flight: whatever completes within one chunk received is made up for in one write. */
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
 * Sends `rate` messages a second, evenly. Each carries the time it was due, not the time it was sent: a stall of the
 * server or of the generator shows in the latency of everything it delayed.
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
    // While messages are on their way it polls: on loopback the sender pays for waking a receiver that sleeps, which no
    // remote client would make it do.
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
