import { type Inbound, isRefusal, type Refusal } from '@arqonbus/protocol';
import type { Session } from './connection/session.ts';
import type { Awaitable } from './engine/engine.ts';

/** Envelopes of one client on their way or waiting, beyond which its socket is not read any further. */
const MAX_WAITING = 1_024;

/** What came from a client: an envelope, or the refusal of a frame that was none and is answered in its turn too. */
export type Incoming = Inbound | Refusal;

/** Does what was asked for and answers it; never throws or rejects. */
export type Act = (session: Session, incoming: Incoming) => Awaitable<void>;

/**
 * Keeps one sender's envelopes in their order (PROTOCOL section 6, guarantee 1) when an engine has to be waited for.
 * Events may be on their way together, since an engine keeps their order itself; anything else waits until they have
 * settled, and what comes after it waits for it. With a synchronous engine nothing ever waits.
 */
export function accept(session: Session, incoming: Incoming, act: Act): void {
  if (session.waiting === null) {
    take(session, incoming, act);
    return;
  }
  session.waiting.push(incoming);
  if (session.waiting.length === MAX_WAITING) session.wire.pauseReading(true);
}

function take(session: Session, incoming: Incoming, act: Act): void {
  const overlaps = !isRefusal(incoming) && (incoming.type === 'event' || incoming.type === 'telemetry');
  if (!overlaps && session.inFlight > 0) {
    session.waiting = [incoming];
    return;
  }
  const done = act(session, incoming);
  if (!(done instanceof Promise)) return;
  if (!overlaps) session.waiting = [];
  waitFor(session, done, act);
}

/** Holds back what a session sends until `until` has settled: its first membership is still being made. */
export function holdUntil(session: Session, until: Promise<void>, act: Act): void {
  session.waiting = [];
  waitFor(session, until, act);
}

function waitFor(session: Session, done: Promise<void>, act: Act): void {
  session.inFlight += 1;
  if (session.inFlight === MAX_WAITING) session.wire.pauseReading(true);
  done.then(() => {
    session.inFlight -= 1;
    if (session.inFlight > 0) return;
    session.wire.pauseReading(false);
    resume(session, act);
  });
}

/** Takes what has waited, until something has to be waited for again. */
function resume(session: Session, act: Act): void {
  const queue = session.waiting;
  session.waiting = null;
  if (queue === null || session.closed) return;
  for (let next = 0; next < queue.length; next += 1) {
    if (session.waiting !== null) {
      (session.waiting as Incoming[]).push(...queue.slice(next));
      return;
    }
    take(session, queue[next] as Incoming, act);
  }
}
