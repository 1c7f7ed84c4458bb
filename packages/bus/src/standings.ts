import { type AgentCard, BusError } from '@arqonbus/protocol';
import type { Session, Standing } from './connection/session.ts';
import { systemTimers, type Timers } from './timers.ts';

/** Maximum size of a card, in UTF-8 bytes of JSON. */
const MAX_CARD_BYTES = 8_192;
/** The state of a client that did not renew its state in time; clients cannot set it. */
const LAPSED = 'lapsed';

/** A status change by a client; null clears a field, an absent field is kept. */
export interface StandingChange {
  readonly card?: AgentCard | null;
  readonly state?: string | null;
  readonly note?: string | null;
  /** How long the state is valid unless renewed; by default until it is changed. */
  readonly ttlSeconds?: number;
}

/** The status that clients report, optionally with a time limit, so that a hung agent does not look busy forever. */
export class Standings {
  private readonly onLapse: (session: Session) => void;
  private readonly timers: Timers;
  private readonly lapses: Map<Session, () => void> = new Map();

  constructor(onLapse: (session: Session) => void, timers: Timers = systemTimers) {
    this.onLapse = onLapse;
    this.timers = timers;
  }

  /** Throws VALIDATION_ERROR for a card that is too large, and for the reserved state. */
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
    // A time limit of the previous state does not apply to a new one.
    if (state !== undefined || ttlSeconds !== undefined) this.forget(session);
    if (ttlSeconds === undefined) return;
    this.lapses.set(
      session,
      this.timers.after(ttlSeconds * 1_000, () => this.lapse(session)),
    );
  }

  /** Call when the connection has closed. */
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
