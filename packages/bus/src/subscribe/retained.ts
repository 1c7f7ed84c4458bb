import { type Envelope, isExpired, markRetained } from '@arqonbus/protocol';
import { isPending } from '../awaitable.ts';
import type { Membership, Session } from '../connection/session.ts';
import type { Awaitable, Broker, StoredEvent, StreamAddress } from '../engine/engine.ts';
import type { Channel, Rooms } from '../rooms.ts';

/** Channels of a room whose values are sent on one join. */
const MAX_CHANNELS = 1_000;
/** Maximum unsent bytes of values before waiting for the connection to drain. */
const MAX_UNSENT = 262_144;

/** On a join with `last`, sends the value each channel retains: its last event, unless that cleared it. */
export class RetainedValues {
  private readonly rooms: Rooms;
  private readonly broker: Broker;
  private readonly now: () => number;

  constructor(rooms: Rooms, broker: Broker, now: () => number) {
    this.rooms = rooms;
    this.broker = broker;
    this.now = now;
  }

  /** Sends a place's values to its new member, paced by its connection. Synchronous with a synchronous engine. */
  send(session: Session, place: Channel, { coverage }: Membership): Awaitable<void> {
    const streams = this.streamsOf(place);
    if (!isPending(streams)) {
      const [only, ...more] = streams;
      if (only === undefined) return;
      if (more.length === 0) return this.sendOne(session, only, coverage);
    }
    return this.sendAll(session, streams, coverage);
  }

  private async sendAll(
    session: Session,
    streams: Awaitable<readonly StreamAddress[]>,
    coverage: Membership['coverage'],
  ): Promise<void> {
    for (const stream of await streams) {
      if (session.closed) return;
      await this.sendOne(session, stream, coverage);
      if (session.outbox.backlog <= MAX_UNSENT) continue;
      await new Promise<void>((drained) => session.outbox.whenDrained(drained));
    }
  }

  private sendOne(session: Session, stream: StreamAddress, coverage: Membership['coverage']): Awaitable<void> {
    if (coverage !== null && !coverage.includes(stream.channel)) return;
    const put = ([last]: readonly StoredEvent[]): void => {
      if (last !== undefined && !this.isCleared(last.text)) session.send(markRetained(last.text));
    };
    const read = this.broker.history(stream, { limit: 1, take: 'last' });
    return isPending(read) ? read.then(put) : put(read);
  }

  private isCleared(text: string): boolean {
    if (isExpired(text, this.now())) return true;
    return text.includes('"clear":true') && (JSON.parse(text) as Envelope).metadata?.clear === true;
  }

  /** The streams of a place that retain their last event. */
  private streamsOf(place: Channel): Awaitable<readonly StreamAddress[]> {
    const retains = ({ tenant, room, channel: name }: StreamAddress): boolean => {
      const known = this.rooms.tenants.get(tenant)?.find(room, name);
      return (known === undefined ? this.rooms.policyAt(tenant, room, name) : this.rooms.policy(known)).retainLast;
    };
    const { matches, isWide } = place;
    if (matches === null && !isWide) return retains(place) ? [place] : [];
    const choose = (streams: readonly StreamAddress[]): StreamAddress[] =>
      streams.filter((one) => (matches === null || matches(one.channel)) && retains(one)).slice(0, MAX_CHANNELS);
    const all = this.broker.streams(place.tenant, place.room);
    return isPending(all) ? all.then(choose) : choose(all);
  }
}
