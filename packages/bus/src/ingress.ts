import {
  BusError,
  CLOSE,
  decode,
  encodeAck,
  type Inbound,
  isRefusal,
  type JsonObject,
  PRIVATE_CHANNEL,
  type Refusal,
} from '@arqonbus/protocol';
import { andThen, attempt, isPending } from './awaitable.ts';
import { type Incoming, Lane, overlaps } from './connection/lane.ts';
import { type Received, readPlainEvent } from './connection/plain-event.ts';
import type { Sender, Session } from './connection/session.ts';
import type { Core } from './core.ts';
import type { PrivateOutcome } from './direct.ts';
import type { Awaitable } from './engine/engine.ts';
import { type Delayed, type DelayMessage, isDelayed, type Message, type Outcome } from './publish.ts';
import { resolve } from './resolve.ts';

/** Limits on the queue of one connection, and on its use of the event loop (docs/security.md, "Bounds"). */
export interface IngressLimits {
  /** Bytes of queued and in-flight envelopes, beyond which the socket is not read. */
  readonly maxQueuedBytes: number;
  /** The same in envelopes. */
  readonly maxQueuedEnvelopes: number;
  /** Milliseconds of one connection's turn before the next one's. */
  readonly turnMs: number;
  /** Envelopes of one connection in a turn while others wait. */
  readonly turnEnvelopes: number;
  /** Unsent bytes of answers, beyond which no further command of the connection starts. */
  readonly answerBacklogBytes: number;
}

const INGRESS_LIMITS: IngressLimits = {
  maxQueuedBytes: 1_048_576,
  maxQueuedEnvelopes: 1_024,
  turnMs: 2,
  turnEnvelopes: 64,
  answerBacklogBytes: 1_048_576,
};

/** Milliseconds for the turns of all waiting connections, before sockets are polled again. */
const ALL_TURNS_MS = 8;
/** How many light envelopes pass between two clock checks. */
const CLOCK_EVERY = 8;
/** Texts of more UTF-16 units than this are not light. */
const HEAVY = 16_384;
/** Consecutive rate-limit refusals, one per message, after which the connection is closed (4429). */
const MAX_RATE_REFUSALS = 100;
const BINARY: Refusal = {
  code: 'VALIDATION_ERROR',
  message: 'This server takes text frames only; send the envelope as JSON text.',
  details: { field: 'frame', expected: 'text frame' },
  requestId: undefined,
  command: undefined,
};

/** Runs one command and answers it. Must not throw or reject. */
export type RunCommand = (session: Session, inbound: Inbound) => Awaitable<void>;

export type Posted = Outcome | PrivateOutcome | Delayed;

/**
 * The single entry point of inbound envelopes: decodes, orders, limits and dispatches them by type.
 *
 * One sender's envelopes keep their order (PROTOCOL section 6, guarantee 1). Events may be in flight together, since an
 * engine keeps their order itself; anything else waits until they have settled, and blocks what follows it. With a
 * synchronous engine envelopes wait only for their connection's turn.
 */
export class Ingress {
  private readonly core: Core;
  private readonly runCommand: RunCommand;
  private readonly delay: DelayMessage | null;
  private readonly limits: IngressLimits;
  /** Connections whose next envelope can start and only waits for its turn. */
  private ready: Session[] = [];
  private isScheduled = false;
  /** The connection whose turn it is, when the turn began, and its envelopes so far. */
  private owner: Session | null = null;
  private began = 0;
  private count = 0;
  private readonly unsettled: Set<Promise<void>> = new Set();
  /** Texts queued, and times that reading a socket was paused, since the start. */
  queued = 0;
  paused = 0;

  /** @param delay schedules events for later; null disables that */
  constructor(core: Core, runCommand: RunCommand, delay: DelayMessage | null, limits: IngressLimits = INGRESS_LIMITS) {
    this.core = core;
    this.runCommand = runCommand;
    this.delay = delay;
    this.limits = limits;
  }

  /**
   * Handles one text frame of a client, within its size limit. Answers and errors go to that client; never throws.
   *
   * @param frame its text, or the bytes of that: valid UTF-8, not used after this call
   */
  receive(session: Session, frame: string | Buffer): void {
    if (session.closed) return;
    this.core.memory.received(frame.length);
    const { lane } = session;
    const isFirst = lane === null || (lane.length === 0 && this.mayBegin(lane));
    if (isFirst && this.hasTurn(session)) this.take(session, this.decode(frame), frame.length);
    // A queue of texts, since bytes would keep the larger chunk in memory that they arrived in.
    else this.enqueue(session, frame.toString());
  }

  private decode(frame: string | Buffer): Incoming {
    const { strictEnvelope } = this.core.options;
    if (typeof frame === 'string') return decode(frame, strictEnvelope);
    return readPlainEvent(frame, strictEnvelope) ?? decode(frame.toString(), strictEnvelope);
  }

  /** Handles a binary frame; no subprotocol uses them yet. */
  receiveBinary(session: Session): void {
    if (!session.closed) this.enqueue(session, BINARY);
  }

  /** Holds a session's envelopes until `until` has settled: its first join is still pending. */
  holdUntil(session: Session, until: Promise<void>): void {
    this.follow(session, until, 0, true);
  }

  /** Resolves when everything accepted so far has been answered. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.unsettled);
  }

  /**
   * Sends a validated event, private message or telemetry event, from any transport and sender; not for commands.
   * Throws or rejects with the error that refused it.
   */
  post(sender: Sender, inbound: Received): Awaitable<Posted> {
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

  /** Publishes an event, now or at the time in its options. */
  publish(sender: Sender, message: Message): Awaitable<Outcome | Delayed> {
    if (message.options?.request !== undefined) return this.core.requests.publish(sender, message);
    if (!isDelayed(message)) return this.core.publisher.publish(sender, message);
    if (this.delay !== null) return this.delay(sender, message);
    throw new BusError('FEATURE_DISABLED', 'This bus runs without op.cron, which keeps events for later.', {
      feature: 'cron',
      field: 'options',
    });
  }

  /** @param membersOnly whether only members of the room receive it, as for `room:pm` */
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

  /** Whether the next envelope of a lane can start. */
  private mayBegin(lane: Lane): boolean {
    const { maxQueuedBytes, maxQueuedEnvelopes } = this.limits;
    if (lane.isExclusive || lane.isDraining || lane.awaitsOthers) return false;
    return lane.inFlight < maxQueuedEnvelopes && lane.underWay < maxQueuedBytes;
  }

  /** Whether the session may continue in this turn of the event loop. */
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

  /** Gives each waiting connection a turn, until it is time to poll the sockets again. */
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
    // Connections without a turn so far go first.
    if (next < waiting.length) this.ready = [...waiting.slice(next), ...this.ready];
    this.owner = null;
    if (this.ready.length > 0) this.schedule();
  };

  /** Processes queued envelopes, as far as turn and order allow. */
  private proceed(session: Session, lane: Lane): void {
    while (!session.closed && lane.length > 0 && this.mayBegin(lane) && this.hasTurn(session)) {
      const arrived = lane.shift();
      if (typeof arrived === 'string') this.take(session, this.decode(arrived), arrived.length);
      else this.take(session, arrived, 0);
    }
    this.settle(session, lane);
  }

  /** Schedules a lane, resumes reading, or removes the lane. */
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

  /**
   * Starts one envelope, or puts it back at the front of its lane until earlier ones have finished.
   *
   * @param size the length of its text; 0 if it was put back before
   */
  private take(session: Session, incoming: Incoming, size: number): void {
    const isEvent = overlaps(incoming);
    const mustDrain = this.mustDrain(session, isEvent);
    if (mustDrain || (!isEvent && session.lane !== null && session.lane.inFlight > 0)) {
      session.lane ??= new Lane();
      session.lane.putBack(incoming);
      if (mustDrain) this.drain(session, session.lane);
      return;
    }
    const done = isRefusal(incoming) ? this.refuse(session, incoming) : this.accept(session, incoming);
    // A command or a large text may take long: check the clock before the next envelope.
    if (!isEvent || size > HEAVY) this.count |= CLOCK_EVERY - 1;
    if (isPending(done)) this.follow(session, done, size, !isEvent);
  }

  /** Whether too much is unsent to accept more: a client that sends requests without reading the answers waits. */
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

  private accept(session: Session, inbound: Received): Awaitable<void> {
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

  private posted(session: Session, inbound: Received, posted: Posted): void {
    if (inbound.ack) {
      const { payload, at } = receipt(posted);
      session.send(encodeAck(inbound.id, at, payload));
    }
    const { room, channel } = 'channel' in posted ? posted.channel : inbound;
    this.core.activity.note(session, session.lastActivity, inbound.type, inbound.id, room, channel);
  }

  /** Answers a frame that was not a valid envelope; too many of them close the connection (PROTOCOL section 8). */
  private refuse(session: Session, refusal: Refusal): void {
    const { core } = this;
    core.refused(session, refusal);
    if (!session.violations.add(refusal.code, performance.now())) return;
    core.closeSession(session, CLOSE.POLICY_VIOLATION, 'repeated protocol violations');
  }

  /** Milliseconds until the session may send again; 0 when it is within its rate. */
  private overRate({ buckets }: Session): number {
    if (buckets.length === 0) return 0;
    const now = performance.now();
    for (const bucket of buckets) if (!bucket.take(now)) return Math.max(1, bucket.retryAfterMs(now));
    return 0;
  }

  private refuseRate(session: Session, inbound: Received, retryAfterMs: number): void {
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

  /** Tracks an in-flight envelope, and continues the lane when it finishes. */
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

/** The content of an ack (PROTOCOL section 6, guarantee 2): its payload, and the resolved address, if any. */
export function receipt(posted: Posted): { payload: JsonObject; at: { room: string; channel: string } | undefined } {
  if ('jobId' in posted) {
    const { jobId: job_id, deliverAt: deliver_at, stored, duplicate } = posted;
    return { payload: { delivered: 0, duplicate, stored, job_id, deliver_at }, at: undefined };
  }
  if (!('channel' in posted)) return { payload: { stored: 'none', ...posted }, at: undefined };
  const { room, channel } = posted.channel;
  return { payload: { ...posted.published }, at: { room, channel } };
}
