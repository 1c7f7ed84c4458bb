import { type AgentCard, type ClientRecord, type ClientType, MAIL_ROOM, type Position } from '@arqonbus/protocol';
import type { Traffic } from '../counters.ts';
import type { Principal } from '../principal.ts';
import type { TokenBucket } from '../rate.ts';
import { type SenderMark, senderMark } from '../sender-mark.ts';
import { Frame } from './frame.ts';
import type { Lane } from './lane.ts';
import type { Outbox, Wire } from './outbox.ts';
import { ViolationCount } from './violations.ts';

/** The sender of a message or request: a connection, an HTTP caller, or one of the server's operators. */
export interface Sender {
  /** The `from` of its envelopes; of `[A-Za-z0-9_:.-]`, so it needs no escaping. */
  readonly id: string;
  /** Its identity across connections: the key for idempotency and ownership. */
  readonly identity: string;
  readonly principal: Principal;
  /** How receivers see it. */
  readonly mark: SenderMark;
  /** The connection, if any. */
  readonly session: Session | null;
}

/** A client's public profile; `identify` changes it. */
export interface Profile {
  clientType: ClientType;
  screenName: string | null;
  avatar: string | null;
  personality: string | null;
}

/** The status that an agent reports. */
export interface Standing {
  /** A description of the agent and its skills, as JSON. */
  readonly card?: AgentCard;
  /** `idle`, `busy`, or a custom word; `lapsed` when it was not renewed in time. */
  readonly state?: string;
  readonly note?: string;
}

/** A first membership, from the connection's query. */
export interface Wanted {
  readonly room: string;
  readonly channel: string;
}

/** A client that is connecting. */
export interface Arrival {
  readonly principal: Principal;
  readonly profile: Profile;
  /** Kept by the client across reconnects (16-64 random characters); undefined without one. */
  readonly clientKey: string | undefined;
  /** The peer's address, used for limits when there is no subject. */
  readonly address: string;
  /** First membership, from the connection's query. */
  readonly join: Wanted | undefined;
  /**
   * For a send-only transport: the unguessable id to which its client posts envelopes. The client id is a hash of it
   * (`clientIdOf`), so that any node can find the session and knows that the poster was given the id.
   */
  readonly postId?: string;
}

/** What a client can be a member of: a channel, a whole room (`*`), or the channels of a room that match a pattern. */
export interface Place {
  readonly room: string;
  readonly channel: string;
  /** Whether it is a single channel. */
  readonly isConcrete: boolean;
}

/** Which channels of a place a member's grants cover. */
export interface Coverage {
  includes(channel: string): boolean;
}

/** One client's membership of a place. */
export interface Membership {
  readonly joinedAt: number;
  /** False while missed events are being replayed: live events reach it through its catch-up. */
  live: boolean;
  echo: boolean;
  /** Null: the whole place. */
  coverage: Coverage | null;
  /** Whether it ends, rather than continues in part, when the grants no longer cover the whole place. */
  isStrict: boolean;
  /** Whether the client asked for presence; a rule may override it. */
  asksPresence: boolean;
  /** The client's presence state here, any JSON value; null: none. */
  state: unknown;
  /** UTF-8 bytes of {@link state} as JSON. */
  stateBytes: number;
}

const NO_STANDING: Standing = Object.freeze({});
const NO_GROUPS: ReadonlySet<string> = new Set();

/** A connected client of this node: its identity, memberships and outgoing frames. */
export class Session implements Sender {
  readonly id: string;
  readonly identity: string;
  readonly profile: Profile;
  readonly wire: Wire;
  readonly outbox: Outbox;
  /** The counters of its tenant. */
  readonly traffic: Traffic;
  readonly connectedAt: number;
  /** The id its client posts to; undefined when its transport also receives. */
  readonly postId: string | undefined;
  /** Its remote address. */
  readonly address: string;
  /** Envelopes received from it, without those refused by the rate limit. */
  received = 0;
  private held: Principal;
  private shown: SenderMark;
  lastActivity: number;
  /** Time of the last `agent_activity` about this client. */
  lastActivityNotice = 0;
  /** In join order, so that leaving the current channel falls back to the previous one. */
  readonly memberships: Map<Place, Membership> = new Map();
  /** Keys of the groups that it is a member of; null for most connections, which have none. */
  private ownGroups: Set<string> | null = null;
  /** The last joined concrete channel (rule 5 of the resolution). */
  current: Place | undefined;
  /** By room: the position after which it has received the room-wide stream; null before its first membership. */
  begun: Map<string, Position> | null = null;
  /** UTF-8 bytes of the states of all its memberships. */
  stateBytes = 0;
  /** The status that it set with `identify`. */
  standing: Standing = NO_STANDING;
  closed = false;
  /** Queued and in-flight envelopes; null while there are none (PROTOCOL section 6). */
  lane: Lane | null = null;
  /** The rate-limit buckets of its messages, if limited. */
  buckets: readonly TokenBucket[];
  /** Consecutive messages refused by the rate limit. */
  rateRefusals = 0;
  /** The owner of the buckets: its subject, else its address. */
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

  /** Records a new or repeated join; the channel becomes the current one. */
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

  /** False when it was not a member. */
  leftGroup(key: string): boolean {
    return this.ownGroups?.delete(key) === true;
  }

  get session(): Session {
    return this;
  }

  get principal(): Principal {
    return this.held;
  }

  /** Set when a token is renewed; a name fixed by the token then applies. */
  set principal(principal: Principal) {
    this.held = principal;
    this.shown = this.describe();
  }

  get mark(): SenderMark {
    return this.shown;
  }

  /** Changes the client's profile, except a name fixed by its token. */
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
    this.outbox.push(new Frame(text));
  }

  /** The room for a channel name without a room (rule 3): the current channel's, else the last one joined. */
  currentRoom(): string | undefined {
    if (this.current !== undefined) return this.current.room;
    let last: string | undefined;
    for (const channel of this.memberships.keys())
      if (channel.room !== '*' && channel.room !== MAIL_ROOM) last = channel.room;
    return last;
  }

  record(node: string): ClientRecord {
    // No prototype, since a room may be called "constructor".
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

/** Whether messages without an address may go there: nobody publishes to a mailbox. */
function mayBeCurrent({ isConcrete, room }: Place): boolean {
  return isConcrete && room !== MAIL_ROOM;
}
