import { BusError, MAIL_ROOM, mailboxChannel, WILDCARD } from '@arqonbus/protocol';
import { type Action, hasRole, type Principal } from './principal.ts';

/** An extra check by the program: anything but true refuses what role and grants allow. Synchronous; must not throw. */
export type Authorize = (principal: Principal, action: Action, address: string) => boolean;

export interface AccessOptions {
  /** The room with telemetry about other clients; only principals that may watch telemetry read it. */
  readonly telemetryRoom: string;
  readonly authorize?: Authorize | undefined;
  readonly onFault?: (error: unknown) => void;
}

const READING: ReadonlySet<Action> = new Set<Action>(['subscribe', 'history', 'presence', 'group']);
/** The actions allowed on a mailbox: reading only. */
const MAIL_READING: ReadonlySet<Action> = new Set<Action>(['subscribe', 'history', 'group']);

/** Unless the grants say otherwise, publish implies admin of a channel, and subscribe implies reading it in groups. */
const IMPLIED: Readonly<Partial<Record<Action, Action>>> = { admin: 'publish', group: 'subscribe' };

/** Decides what a principal may do in its tenant (PROTOCOL section 7). All checks go through here. */
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
   * A wildcard means all channels of a room: only a grant that covers every channel allows it, since only a star in a
   * grant's glob matches the text `*`. `*:*` is for admins. Guests read but do not publish. A mailbox is read by its
   * subject, without a grant, and by admins.
   */
  may(principal: Principal, action: Action, room: string, channel: string): boolean {
    if (room === MAIL_ROOM) return this.mayReadMail(principal, action, channel);
    if (room === WILDCARD && !hasRole(principal, 'admin')) return false;
    if (action === 'publish' && principal.role === 'guest') return false;
    if (room === this.telemetryRoom && READING.has(action) && !this.mayWatch(principal)) return false;
    return this.isGranted(principal, action, `${room}:${channel}`);
  }

  /**
   * May `principal` do `action` at some channels of `room`, though not at all of them? `place` is what it asked for:
   * `*` or a pattern; it is passed to `authorize` too.
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

  /** Throws AUTHORIZATION_ERROR unless `principal` is an admin whose grants, if any, cover the whole tenant. */
  requireTenant(principal: Principal): void {
    if (this.may(principal, 'admin', WILDCARD, WILDCARD)) return;
    throw new BusError('AUTHORIZATION_ERROR', 'This is about the whole tenant, and your grants are for parts of it.', {
      required_grant: 'admin *:*',
    });
  }

  /** May `principal` see telemetry about others, on the telemetry port or in the telemetry room? */
  mayWatch(principal: Principal): boolean {
    return principal.telemetry || hasRole(principal, 'admin');
  }

  /** May `principal` send a private message to the client with `subject` (null: a client without one)? */
  mayReach(principal: Principal, subject: string | null): boolean {
    if (principal.role === 'guest') return false;
    return this.isGranted(principal, 'private', subject ?? WILDCARD);
  }

  /** May `principal` create things that outlive its connections and its token? */
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
 * Anything but true refuses, so that an async `authorize` does not allow everything by returning a promise. That
 * mistake is reported once, and a rejection of the promise must not end the process.
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
