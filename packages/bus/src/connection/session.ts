import { type AgentCard, type ClientRecord, type ClientType, MAIL_ROOM } from '@arqonbus/protocol';
import type { Traffic } from '../counters.ts';
import type { Principal } from '../principal.ts';
import type { TokenBucket } from '../rate.ts';
import { type SenderMark, senderMark } from '../sender-mark.ts';
import { frameText } from './frame.ts';
import type { Lane } from './lane.ts';
import type { Outbox, Wire } from './outbox.ts';
import { ViolationCount } from './violations.ts';

/** Who publishes or asks: a connection, an HTTP caller, or an operator of the server's own. */
export interface Sender {
  /** What envelopes say in `from`; of `[A-Za-z0-9_:.-]`, so that it needs no escaping. */
  readonly id: string;
  /** Who that is beyond one connection: the key of idempotence and of ownership. */
  readonly identity: string;
  readonly principal: Principal;
  /** What receivers are told of it. */
  readonly mark: SenderMark;
  /** The connection, when there is one. */
  readonly session: Session | null;
}

/** How a client wants to be known; `identify` changes it. */
export interface Profile {
  clientType: ClientType;
  screenName: string | null;
  avatar: string | null;
  personality: string | null;
}

/** What an agent tells of itself, as far as it does. */
export interface Standing {
  /** What it is and can do, as JSON. */
  readonly card?: AgentCard;
  /** `idle`, `busy`, or a word of its own; `lapsed` once it has not said so again in time. */
  readonly state?: string;
  readonly note?: string;
}

/** A first membership, as the connection's query names it. */
export interface Wanted {
  readonly room: string;
  readonly channel: string;
}

/** A client that asks to be connected. */
export interface Arrival {
  readonly principal: Principal;
  readonly profile: Profile;
  /** Kept by the client across reconnects (16-64 random characters); undefined without one. */
  readonly clientKey: string | undefined;
  /** The peer's address, which counts where there is no subject. */
  readonly address: string;
  /** First membership, from the connection's query. */
  readonly join: Wanted | undefined;
  /**
   * Of a transport that only sends: what nobody can guess and its client posts its envelopes to. The client id is made
   * of it, one way (`clientIdOf`), so that every node finds the session and knows that the poster was told its id.
   */
  readonly postId?: string;
}

/** What a client can be a member of: a channel, all of a room (`*`), or the channels of a room that match a pattern. */
export interface Place {
  readonly room: string;
  readonly channel: string;
  /** Whether it is one channel. */
  readonly isConcrete: boolean;
}

/** Which channels of a place a member's grants cover. */
export interface Coverage {
  includes(channel: string): boolean;
}

/** One client in one place. */
export interface Membership {
  readonly joinedAt: number;
  /** False while it is still being replayed what it missed: live events reach it through its catch-up. */
  live: boolean;
  echo: boolean;
  /** Null: all of the place. */
  coverage: Coverage | null;
  /** Whether it ends rather than being covered in part. */
  isStrict: boolean;
  /** Whether the client asked to be told who is there; a rule may say otherwise. */
  asksPresence: boolean;
  /** What the client tells of itself here, any JSON value; null: nothing. */
  state: unknown;
  /** UTF-8 bytes of {@link state} as JSON. */
  stateBytes: number;
}

const NO_STANDING: Standing = Object.freeze({});
const NO_GROUPS: ReadonlySet<string> = new Set();

/** A client of this node: who it is, what it is a member of, and the way its frames leave. */
export class Session implements Sender {
  readonly id: string;
  readonly identity: string;
  readonly profile: Profile;
  readonly wire: Wire;
  readonly outbox: Outbox;
  /** The figures of its tenant. */
  readonly traffic: Traffic;
  readonly connectedAt: number;
  /** What its client posts to; undefined when its wire receives. */
  readonly postId: string | undefined;
  /** Where its connection comes from. */
  readonly address: string;
  /** Envelopes that came of it, but for those that were too many. */
  received = 0;
  private held: Principal;
  private shown: SenderMark;
  lastActivity: number;
  /** Time of the last `agent_activity` about this client. */
  lastActivityNotice = 0;
  /** In the order joined, so that leaving the current channel falls back to the one before. */
  readonly memberships: Map<Place, Membership> = new Map();
  /** Keys of the groups that it is a member of; most connections are of none, and have no set of their own. */
  private ownGroups: Set<string> | null = null;
  /** The last joined concrete channel (rule 5 of the resolution). */
  current: Place | undefined;
  /** UTF-8 bytes of the states of all its memberships. */
  stateBytes = 0;
  /** What it tells of itself with `identify`. */
  standing: Standing = NO_STANDING;
  closed = false;
  /** Envelopes that wait, and those under way; null while there are none (PROTOCOL section 6). */
  lane: Lane | null = null;
  /** What its messages take from, where rates are limited. */
  buckets: readonly TokenBucket[];
  /** Messages refused for the rate since the last that was not. */
  rateRefusals = 0;
  /** Whom they are of: its subject, else its address. */
  readonly chargedTo: string;
  readonly violations: ViolationCount = new ViolationCount();

  constructor(
    id: string,
    identity: string,
    principal: Principal,
    profile: Profile,
    wire: Wire,
    outbox: Outbox,
    traffic: Traffic,
    buckets: readonly TokenBucket[],
    chargedTo: string,
    now: number,
    address: string,
    postId?: string,
  ) {
    this.id = id;
    this.identity = identity;
    this.held = principal;
    this.profile = profile;
    this.shown = this.describe();
    this.wire = wire;
    this.outbox = outbox;
    this.traffic = traffic;
    this.buckets = buckets;
    this.chargedTo = chargedTo;
    this.address = address;
    this.postId = postId;
    this.connectedAt = now;
    this.lastActivity = now;
  }

  /** Notes a membership, or that it was asked for again: it is the current one now. */
  joined(channel: Place, membership: Membership): void {
    this.memberships.delete(channel);
    this.memberships.set(channel, membership);
    if (mayBeCurrent(channel)) this.current = channel;
  }

  left(channel: Place): void {
    this.memberships.delete(channel);
    if (this.current !== channel) return;
    this.current = undefined;
    for (const other of this.memberships.keys()) if (mayBeCurrent(other)) this.current = other;
  }

  get groups(): ReadonlySet<string> {
    return this.ownGroups ?? NO_GROUPS;
  }

  joinedGroup(key: string): void {
    this.ownGroups ??= new Set();
    this.ownGroups.add(key);
  }

  /** False when it was no member. */
  leftGroup(key: string): boolean {
    return this.ownGroups?.delete(key) === true;
  }

  get session(): Session {
    return this;
  }

  get principal(): Principal {
    return this.held;
  }

  /** Replaced when a token is renewed; a name that it fixes counts from then on. */
  set principal(principal: Principal) {
    this.held = principal;
    this.shown = this.describe();
  }

  get mark(): SenderMark {
    return this.shown;
  }

  /** Changes how the client is known, but for a name that its token fixes. */
  identify(changes: Partial<Profile>): void {
    Object.assign(this.profile, changes);
    this.shown = this.describe();
  }

  private describe(): SenderMark {
    this.profile.screenName = this.held.name ?? this.profile.screenName;
    return senderMark(this.held, this.profile.clientType, this.profile.screenName);
  }

  /** Sends one envelope to this client alone. */
  send(text: string): void {
    this.outbox.push(frameText(text));
  }

  /** The room that a channel name alone is looked up in (rule 3): the current channel's, else the last one joined. */
  currentRoom(): string | undefined {
    if (this.current !== undefined) return this.current.room;
    let last: string | undefined;
    for (const channel of this.memberships.keys())
      if (channel.room !== '*' && channel.room !== MAIL_ROOM) last = channel.room;
    return last;
  }

  record(node: string): ClientRecord {
    // Without a prototype, since a room may be called "constructor".
    const rooms: Record<string, string[]> = Object.create(null);
    for (const { room, channel } of this.memberships.keys()) {
      if (room === MAIL_ROOM) continue;
      const channels = rooms[room];
      if (channels === undefined) rooms[room] = [channel];
      else channels.push(channel);
    }
    return {
      client_id: this.id,
      client_type: this.profile.clientType,
      screen_name: this.profile.screenName,
      avatar: this.profile.avatar,
      personality: this.profile.personality,
      sender: this.shown.record,
      rooms,
      connected_at: new Date(this.connectedAt).toISOString(),
      last_activity: new Date(this.lastActivity).toISOString(),
      node,
      ...this.standing,
    };
  }
}

/** Whether what names no place may go there: nobody publishes to a mailbox. */
function mayBeCurrent({ isConcrete, room }: Place): boolean {
  return isConcrete && room !== MAIL_ROOM;
}
