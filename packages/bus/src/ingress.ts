import {
  BusError,
  CLOSE,
  decode,
  encode,
  type Inbound,
  isRefusal,
  type JsonObject,
  PRIVATE_CHANNEL,
  type Refusal,
} from '@arqonbus/protocol';
import { andThen, attempt, isPending } from './awaitable.ts';
import { type Incoming, Lane, overlaps } from './connection/lane.ts';
import type { Sender, Session } from './connection/session.ts';
import type { Core } from './core.ts';
import type { PrivateOutcome } from './direct.ts';
import type { Awaitable } from './engine/engine.ts';
import { type Delayed, type DelayMessage, isDelayed, type Message, type Outcome } from './publish.ts';
import { resolve } from './resolve.ts';

/** What may wait of one connection, and how long it may keep the event loop (docs/security.md, "Bounds"). */
export interface IngressLimits {
  /** Bytes of envelopes that wait or are under way, beyond which the socket is not read. */
  readonly maxQueuedBytes: number;
  /** The same in envelopes. */
  readonly maxQueuedEnvelopes: number;
  /** Milliseconds of one connection's work, after which the next one has its turn. */
  readonly turnMs: number;
  /** Envelopes of one connection in a turn while others wait for theirs. */
  readonly turnEnvelopes: number;
  /** Unsent bytes of answers, beyond which no further command of the connection is begun. */
  readonly answerBacklogBytes: number;
}

const INGRESS_LIMITS: IngressLimits = {
  maxQueuedBytes: 1_048_576,
  maxQueuedEnvelopes: 1_024,
  turnMs: 2,
  turnEnvelopes: 64,
  answerBacklogBytes: 1_048_576,
};

/** Milliseconds for all waiting connections together, after which sockets are looked at again. */
const ALL_TURNS_MS = 8;
/** How many light envelopes pass between two looks at the clock. */
const CLOCK_EVERY = 8;
/** UTF-16 units of a text from which it is no light one. */
const HEAVY = 16_384;
/** Refusals in a row, one for every message over the rate, after which the connection is closed (4429). */
const MAX_RATE_REFUSALS = 100;
const BINARY: Refusal = {
  code: 'VALIDATION_ERROR',
  message: 'This server takes text frames only; send the envelope as JSON text.',
  details: { field: 'frame', expected: 'text frame' },
  requestId: undefined,
  command: undefined,
};

/** Runs one command and answers it. Neither throws nor rejects. */
export type RunCommand = (session: Session, inbound: Inbound) => Awaitable<void>;

export type Posted = Outcome | PrivateOutcome | Delayed;

/**
 * The one door of every inbound envelope: decode, order, bound, dispatch by type.
 *
 * One sender's envelopes keep their order (PROTOCOL section 6, guarantee 1). Events may be under way together, since an
 * engine keeps their order itself; anything else waits until they have settled, and what comes after it waits for it.
 * With an engine that answers at once nothing waits but for its turn.
 */
export class Ingress {
  private readonly core: Core;
  private readonly runCommand: RunCommand;
  private readonly delay: DelayMessage | null;
  private readonly limits: IngressLimits;
  /** Connections whose envelopes wait for nothing but their turn. */
  private ready: Session[] = [];
  private isScheduled = false;
  /** Whose turn it is, since when, and how many envelopes it had. */
  private owner: Session | null = null;
  private began = 0;
  private count = 0;
  private readonly unsettled: Set<Promise<void>> = new Set();
  /** Texts that had to wait, and times that a socket was not read for it, since the start. */
  queued = 0;
  paused = 0;

  /** @param delay what keeps events that are to be published later; null: nothing does */
  constructor(core: Core, runCommand: RunCommand, delay: DelayMessage | null, limits: IngressLimits = INGRESS_LIMITS) {
    this.core = core;
    this.runCommand = runCommand;
    this.delay = delay;
    this.limits = limits;
  }

  /** Takes one text frame of a client, within its size limit. Answers and faults go to that client; never throws. */
  receive(session: Session, text: string): void {
    if (session.closed) return;
    this.core.memory.received(text.length);
    const { lane } = session;
    const isFirst = lane === null || (lane.length === 0 && this.mayBegin(lane));
    if (isFirst && this.hasTurn(session)) this.take(session, text);
    else this.enqueue(session, text);
  }

  /** Takes a binary frame, which no subprotocol has a meaning for yet. */
  receiveBinary(session: Session): void {
    if (!session.closed) this.enqueue(session, BINARY);
  }

  /** Holds back what a session sends until `until` has settled: its first membership is still being made. */
  holdUntil(session: Session, until: Promise<void>): void {
    this.follow(session, until, 0, true);
  }

  /** Resolves when everything that was accepted so far has been answered. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.unsettled);
  }

  /**
   * Sends a validated event, private message or telemetry event of anybody, over whatever transport it came; commands
   * are none of these. Throws or rejects with what refused it.
   */
  post(sender: Sender, inbound: Inbound): Awaitable<Posted> {
    const { submissions, memory } = this.core;
    memory.requireRoom();
    switch (inbound.type) {
      case 'telemetry':
        return submissions.submit(sender, inbound);
      case 'private':
        if (inbound.channel !== PRIVATE_CHANNEL) return this.send(sender, inbound, inbound, false);
        return this.send(sender, inbound, resolve(inbound.room, inbound.channel, sender.session), true);
      default:
        return this.publish(sender, inbound as Message);
    }
  }

  /** Publishes an event, at once or when its options say. */
  publish(sender: Sender, message: Message): Awaitable<Outcome | Delayed> {
    if (message.options?.request !== undefined) return this.core.requests.publish(sender, message);
    if (!isDelayed(message)) return this.core.publisher.publish(sender, message);
    if (this.delay !== null) return this.delay(sender, message);
    throw new BusError('FEATURE_DISABLED', 'This bus runs without op.cron, which keeps events for later.', {
      feature: 'cron',
      field: 'options',
    });
  }

  /** @param membersOnly whether only members of the room are reached, as `room:pm` says */
  private send(
    sender: Sender,
    inbound: Inbound,
    { room, channel }: Pick<Inbound, 'room' | 'channel'>,
    membersOnly: boolean,
  ): Awaitable<PrivateOutcome> {
    const { to } = inbound;
    if (to === undefined) {
      throw new BusError('VALIDATION_ERROR', 'A private message needs its recipients in "to".', {
        field: 'to',
        expected: 'client id | sub:SUBJECT | @SUBJECT, or a list of them',
      });
    }
    return this.core.direct.send(sender, { membersOnly, ...inbound, to, room, channel });
  }

  // Turns -------------------------------------------------------------------------------------------------------------

  /** Whether nothing keeps the next envelope of a lane from beginning. */
  private mayBegin(lane: Lane): boolean {
    const { maxQueuedBytes, maxQueuedEnvelopes } = this.limits;
    if (lane.isExclusive || lane.isDraining || lane.awaitsOthers) return false;
    return lane.inFlight < maxQueuedEnvelopes && lane.underWay < maxQueuedBytes;
  }

  /** Whether the session may go on in this turn of the event loop. */
  private hasTurn(session: Session): boolean {
    if (this.owner !== session) {
      this.begin(session);
      this.schedule();
      return true;
    }
    this.count += 1;
    if (this.ready.length > 0 && this.count >= this.limits.turnEnvelopes) return false;
    if (this.count % CLOCK_EVERY !== 0) return true;
    return performance.now() - this.began < this.limits.turnMs;
  }

  private begin(session: Session): void {
    this.owner = session;
    this.began = performance.now();
    this.count = 0;
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(this.turn);
  }

  /** Gives each waiting connection its turn, one after the other, until sockets have to be looked at again. */
  private readonly turn = (): void => {
    this.isScheduled = false;
    const began = performance.now();
    const waiting = this.ready;
    this.ready = [];
    let next = 0;
    for (; next < waiting.length; next += 1) {
      if (next > 0 && performance.now() - began > ALL_TURNS_MS) break;
      const session = waiting[next] as Session;
      const { lane } = session;
      if (lane === null) continue;
      lane.isReady = false;
      this.begin(session);
      this.proceed(session, lane);
    }
    // Those that had no turn come before those that wait for their next one.
    if (next < waiting.length) this.ready = [...waiting.slice(next), ...this.ready];
    this.owner = null;
    if (this.ready.length > 0) this.schedule();
  };

  /** Takes what waits, as far as turn and order allow. */
  private proceed(session: Session, lane: Lane): void {
    while (!session.closed && lane.length > 0 && this.mayBegin(lane) && this.hasTurn(session)) {
      this.take(session, lane.shift());
    }
    this.settle(session, lane);
  }

  /** Lets a lane wait for its turn, be read again, or go. */
  private settle(session: Session, lane: Lane): void {
    if (session.closed) {
      session.lane = null;
      return;
    }
    if (lane.length > 0 && this.mayBegin(lane)) this.makeReady(session, lane);
    const { maxQueuedBytes, maxQueuedEnvelopes } = this.limits;
    const hasRoom = lane.length + lane.inFlight < maxQueuedEnvelopes && lane.queued + lane.underWay < maxQueuedBytes;
    if (lane.isPaused && hasRoom) {
      lane.isPaused = false;
      session.wire.pauseReading(false);
    }
    if (lane.length === 0 && lane.inFlight === 0 && !lane.isDraining) session.lane = null;
  }

  private makeReady(session: Session, lane: Lane): void {
    if (lane.isReady) return;
    lane.isReady = true;
    this.ready.push(session);
    this.schedule();
  }

  private enqueue(session: Session, arrived: string | Incoming): void {
    session.lane ??= new Lane();
    const { lane } = session;
    lane.push(arrived);
    this.queued += 1;
    const { maxQueuedBytes, maxQueuedEnvelopes } = this.limits;
    const isFull = lane.length + lane.inFlight >= maxQueuedEnvelopes || lane.queued + lane.underWay >= maxQueuedBytes;
    if (isFull && !lane.isPaused) {
      lane.isPaused = true;
      this.paused += 1;
      session.wire.pauseReading(true);
    }
    if (this.mayBegin(lane)) this.makeReady(session, lane);
  }

  // One envelope ------------------------------------------------------------------------------------------------------

  /** Begins one envelope, unless what came before it has to be over first: then it stands in front of its lane. */
  private take(session: Session, arrived: string | Incoming): void {
    const incoming = typeof arrived === 'string' ? decode(arrived, this.core.options.strictEnvelope) : arrived;
    const isEvent = overlaps(incoming);
    const mustDrain = this.mustDrain(session, isEvent);
    if (mustDrain || (!isEvent && session.lane !== null && session.lane.inFlight > 0)) {
      session.lane ??= new Lane();
      session.lane.putBack(incoming);
      if (mustDrain) this.drain(session, session.lane);
      return;
    }
    const done = isRefusal(incoming) ? this.refuse(session, incoming) : this.accept(session, incoming);
    const size = typeof arrived === 'string' ? arrived.length : 0;
    // A command or a large text may take long: the clock is looked at before the next envelope.
    if (!isEvent || size > HEAVY) this.count |= CLOCK_EVERY - 1;
    if (isPending(done)) this.follow(session, done, size, !isEvent);
  }

  /** Whether so much is unsent that nothing more may be asked for: a client that asks and does not read waits. */
  private mustDrain({ outbox }: Session, isEvent: boolean): boolean {
    const { backlog } = outbox;
    if (backlog <= this.limits.answerBacklogBytes) return false;
    return !isEvent || backlog > this.core.options.maxBacklogBytes / 2;
  }

  private drain(session: Session, lane: Lane): void {
    if (lane.isDraining) return;
    lane.isDraining = true;
    session.outbox.whenDrained(() => {
      lane.isDraining = false;
      this.settle(session, lane);
    });
  }

  private accept(session: Session, inbound: Inbound): Awaitable<void> {
    const refusedFor = this.overRate(session);
    if (refusedFor > 0) return this.refuseRate(session, inbound, refusedFor);
    session.rateRefusals = 0;
    session.lastActivity = this.core.options.now();
    session.traffic.received += 1;
    session.received += 1;
    if (inbound.type === 'command') return this.runCommand(session, inbound);
    return attempt(
      () => andThen(this.post(session, inbound), (posted) => this.posted(session, inbound, posted)),
      (error) => this.core.fail(session, inbound, error),
    );
  }

  private posted(session: Session, inbound: Inbound, posted: Posted): void {
    if (inbound.ack) session.send(encodeAck(inbound.id, posted));
    const { room, channel } = 'channel' in posted ? posted.channel : inbound;
    this.core.activity.note(session, session.lastActivity, inbound.type, inbound.id, room, channel);
  }

  /** Answers a frame that was no valid envelope; too many of them close the connection (PROTOCOL section 8). */
  private refuse(session: Session, refusal: Refusal): void {
    const { core } = this;
    core.refused(session, refusal);
    if (!session.violations.add(refusal.code, performance.now())) return;
    core.closeSession(session, CLOSE.POLICY_VIOLATION, 'repeated protocol violations');
  }

  /** Milliseconds that the session has to wait, since it sends faster than it may; 0 when it may. */
  private overRate({ buckets }: Session): number {
    if (buckets.length === 0) return 0;
    const now = performance.now();
    for (const bucket of buckets) if (!bucket.take(now)) return Math.max(1, bucket.retryAfterMs(now));
    return 0;
  }

  private refuseRate(session: Session, inbound: Inbound, retryAfterMs: number): void {
    const { core } = this;
    const message = `You are sending faster than the server allows; wait ${retryAfterMs} ms.`;
    core.fail(session, inbound, new BusError('RATE_LIMITED', message, { retry_after_ms: retryAfterMs }));
    core.faults.rateLimited += 1;
    if (session.rateRefusals === 0) {
      core.events.emit('rate_limited', session.principal.tenant, { client_id: session.id }, 'warning');
    }
    session.rateRefusals += 1;
    if (session.rateRefusals >= MAX_RATE_REFUSALS)
      core.closeSession(session, CLOSE.SLOW_CONSUMER, 'sustained rate limit');
  }

  /** Follows what is under way, and goes on when it is over. */
  private follow(session: Session, done: Promise<void>, size: number, isExclusive: boolean): void {
    session.lane ??= new Lane();
    const { lane } = session;
    lane.inFlight += 1;
    lane.underWay += size;
    if (isExclusive) lane.isExclusive = true;
    this.unsettled.add(done);
    const over = (): void => {
      this.unsettled.delete(done);
      lane.inFlight -= 1;
      lane.underWay -= size;
      if (lane.inFlight === 0) lane.isExclusive = false;
      if (session.lane === lane && !session.closed) this.settle(session, lane);
    };
    done.then(over, over);
  }
}

/** What an ack tells (PROTOCOL section 6, guarantee 2): its payload, and the address that was resolved, if any. */
export function receipt(posted: Posted): { payload: JsonObject; at: { room: string; channel: string } | undefined } {
  if ('jobId' in posted) {
    const { jobId: job_id, deliverAt: deliver_at, stored, duplicate } = posted;
    return { payload: { delivered: 0, duplicate, stored, job_id, deliver_at }, at: undefined };
  }
  if (!('channel' in posted)) return { payload: { stored: 'none', ...posted }, at: undefined };
  const { room, channel } = posted.channel;
  return { payload: { ...posted.published }, at: { room, channel } };
}

function encodeAck(requestId: string, posted: Posted): string {
  const { payload, at } = receipt(posted);
  return encode({ type: 'ack', request_id: requestId, ...at, payload });
}
