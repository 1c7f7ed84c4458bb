import { BusError, MAIL_ROOM, mailboxChannel, WILDCARD } from '@arqonbus/protocol';
import { type Action, hasRole, type Principal } from './principal.ts';

/** A second opinion of the embedding program: anything but true refuses what role and grants would allow. Must not throw or wait. */
export type Authorize = (principal: Principal, action: Action, address: string) => boolean;

export interface AccessOptions {
  /** The room that tells of other clients: only those who may watch telemetry read it. */
  readonly telemetryRoom: string;
  readonly authorize?: Authorize | undefined;
  readonly onFault?: (error: unknown) => void;
}

const READING: ReadonlySet<Action> = new Set<Action>(['subscribe', 'history', 'presence', 'group']);
/** What may be done with a mailbox: it is read. */
const MAIL_READING: ReadonlySet<Action> = new Set<Action>(['subscribe', 'history', 'group']);

/** Unless its token says more, whoever may publish to a channel may look after it, and whoever may read it, in groups too. */
const IMPLIED: Readonly<Partial<Record<Action, Action>>> = { admin: 'publish', group: 'subscribe' };

/** The one place that answers what a principal may do in its tenant (PROTOCOL section 7). */
export class Access {
  private readonly telemetryRoom: string;
  private readonly authorize: Authorize | undefined;

  constructor({ telemetryRoom, authorize, onFault }: AccessOptions) {
    this.telemetryRoom = telemetryRoom;
    this.authorize = authorize === undefined ? undefined : atOnce(authorize, onFault);
  }

  /**
   * May `principal` do `action` at `room:channel`?
   *
   * A wildcard asks for all of a room: only a grant that covers every channel of it says yes, since a grant's glob
   * matches the text `*` by a star alone. `*:*` is the admin's. Guests read and do not publish. A mailbox is read by its
   * subject, which needs no grant for it, and by admins.
   */
  may(principal: Principal, action: Action, room: string, channel: string): boolean {
    if (room === MAIL_ROOM) return this.mayReadMail(principal, action, channel);
    if (room === WILDCARD && !hasRole(principal, 'admin')) return false;
    if (action === 'publish' && principal.role === 'guest') return false;
    if (room === this.telemetryRoom && READING.has(action) && !this.mayWatch(principal)) return false;
    return this.isGranted(principal, action, `${room}:${channel}`);
  }

  /**
   * May `principal` do `action` at some channels of `room`, though not at all of them? `place` is what it asks for: `*`
   * or a pattern, which the embedding program judges too.
   */
  mayInPart(principal: Principal, action: Action, room: string, place: string): boolean {
    if (room === WILDCARD || room === MAIL_ROOM) return false;
    if (room === this.telemetryRoom && READING.has(action) && !this.mayWatch(principal)) return false;
    const held = principal.grants?.[action];
    if (held === undefined || !held.patterns.some((pattern) => mayBeIn(pattern, room))) return false;
    return this.authorize === undefined || this.authorize(principal, action, `${room}:${place}`);
  }

  /** Throws AUTHORIZATION_ERROR unless {@link may}. */
  require(principal: Principal, action: Action, room: string, channel: string): void {
    if (!this.may(principal, action, room, channel)) throw forbidden(room, channel);
  }

  /** Throws AUTHORIZATION_ERROR unless `principal` looks after the whole tenant: an admin whose grants, if it has any, leave nothing out. */
  requireTenant(principal: Principal): void {
    if (this.may(principal, 'admin', WILDCARD, WILDCARD)) return;
    throw new BusError('AUTHORIZATION_ERROR', 'This is about the whole tenant, and your grants are for parts of it.', {
      required_grant: 'admin *:*',
    });
  }

  /** May `principal` see what happens to others: the telemetry port, and the room that tells the same? */
  mayWatch(principal: Principal): boolean {
    return principal.telemetry || hasRole(principal, 'admin');
  }

  /** May `principal` send a private message to the bearer of `subject` (null: a client without one)? */
  mayReach(principal: Principal, subject: string | null): boolean {
    if (principal.role === 'guest') return false;
    return this.isGranted(principal, 'private', subject ?? WILDCARD);
  }

  /** May `principal` make what outlives its connections and its token? */
  mayMakeDurable(principal: Principal): boolean {
    return principal.durable || hasRole(principal, 'admin');
  }

  mayStore(principal: Principal, action: 'store_read' | 'store_write', namespace: string, key: string): boolean {
    return this.isGranted(principal, action, `${namespace}/${key}`);
  }

  private mayReadMail(principal: Principal, action: Action, channel: string): boolean {
    if (!MAIL_READING.has(action)) return false;
    const address = `${MAIL_ROOM}:${channel}`;
    const { subject } = principal;
    if (subject === null || mailboxChannel(subject) !== channel) {
      return hasRole(principal, 'admin') && this.isGranted(principal, action, address);
    }
    return this.authorize === undefined || this.authorize(principal, action, address);
  }

  private isGranted(principal: Principal, action: Action, address: string): boolean {
    const { grants } = principal;
    if (grants !== null) {
      const implied = IMPLIED[action];
      const held = grants[action] ?? (implied === undefined ? undefined : grants[implied]);
      if (held === undefined || !held.allows(address)) return false;
    }
    return this.authorize === undefined || this.authorize(principal, action, address);
  }
}

/**
 * Anything but true refuses: an async function would else allow everything with its promise. That is told once, and what
 * the promise rejects with must not end the process.
 */
function atOnce(authorize: Authorize, onFault: (error: unknown) => void = () => {}): Authorize {
  let isTold = false;
  return (principal, action, address) => {
    const answer: unknown = authorize(principal, action, address);
    if (!(answer instanceof Promise)) return answer === true;
    answer.catch(() => {});
    if (!isTold)
      onFault(new Error('"authorize" answers with a promise, which refuses: it has to say true or false at once.'));
    isTold = true;
    return false;
  };
}

/** Whether a glob can match any channel of a room. */
function mayBeIn(pattern: string, room: string): boolean {
  const star = pattern.indexOf(WILDCARD);
  const head = star < 0 ? pattern : pattern.slice(0, star);
  return head.startsWith(`${room}:`) || (star >= 0 && `${room}:`.startsWith(head));
}

export function forbidden(room: string, channel: string): BusError {
  return new BusError('AUTHORIZATION_ERROR', `Your role or grants do not allow this at ${room}:${channel}.`, {
    room,
    channel,
  });
}
