import { type AgentCard, BusError } from '@arqonbus/protocol';
import type { Session, Standing } from './connection/session.ts';
import { systemTimers, type Timers } from './timers.ts';

/** UTF-8 bytes of a card as JSON. */
const MAX_CARD_BYTES = 8_192;
/** The state of whoever has not said in time that its state still holds; nobody gives it to itself. */
const LAPSED = 'lapsed';

/** What a client tells of itself; null forgets it, absent keeps it. */
export interface StandingChange {
  readonly card?: AgentCard | null;
  readonly state?: string | null;
  readonly note?: string | null;
  /** For how long the state holds unless it is told again; without it until it is changed. */
  readonly ttlSeconds?: number;
}

/** What clients tell of themselves, some of it for a time only: an agent that hangs does not seem at work for ever. */
export class Standings {
  private readonly onLapse: (session: Session) => void;
  private readonly timers: Timers;
  private readonly lapses: Map<Session, () => void> = new Map();

  constructor(onLapse: (session: Session) => void, timers: Timers = systemTimers) {
    this.onLapse = onLapse;
    this.timers = timers;
  }

  /** Throws VALIDATION_ERROR for a card that is too large, and for what would seem to have lapsed. */
  change(session: Session, { card, state, note, ttlSeconds }: StandingChange): void {
    if (card != null && Buffer.byteLength(JSON.stringify(card)) > MAX_CARD_BYTES) {
      throw new BusError('VALIDATION_ERROR', `A card has at most ${MAX_CARD_BYTES} bytes as JSON; send less.`, {
        field: 'card',
        limit: MAX_CARD_BYTES,
      });
    }
    if (state === LAPSED) {
      throw new BusError('VALIDATION_ERROR', `"${LAPSED}" is said by the server alone; choose another word.`, {
        field: 'state',
      });
    }
    const next = merged(session.standing, { card, state, note });
    if (ttlSeconds !== undefined && next.state === undefined) {
      throw new BusError('VALIDATION_ERROR', '"ttl_seconds" is for a state; send one with it.', { field: 'state' });
    }
    session.standing = next;
    // A time that was given for the last state is not that of another one.
    if (state !== undefined || ttlSeconds !== undefined) this.forget(session);
    if (ttlSeconds === undefined) return;
    this.lapses.set(
      session,
      this.timers.after(ttlSeconds * 1_000, () => this.lapse(session)),
    );
  }

  /** The connection has gone. */
  forget(session: Session): void {
    this.lapses.get(session)?.();
    this.lapses.delete(session);
  }

  private lapse(session: Session): void {
    this.lapses.delete(session);
    const { note: _over, ...rest } = session.standing;
    session.standing = { ...rest, state: LAPSED };
    this.onLapse(session);
  }
}

function merged(known: Standing, change: { [K in keyof Standing]: Standing[K] | null | undefined }): Standing {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  const all = { ...known, ...Object.fromEntries(given) };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null)) as Standing;
}
