import { compilePattern, type Position, WILDCARD } from '@arqonbus/protocol';
import { type Entry, MAX_LENGTH, PositionText } from './position-text.ts';

/** A membership to resume: its address and its stream positions. */
export interface Resumed {
  readonly room: string;
  readonly channel: string;
  /** Positions by stream name, as `join_channel` takes them; undefined if none is known. */
  readonly since: Readonly<Record<string, Position>> | undefined;
}

/** The address of a membership. */
export interface Place {
  readonly room: string;
  readonly channel: string;
}

/** The stream position of a stored event. */
export interface Stored extends Place {
  /** `room:channel`. */
  readonly name: string;
  readonly position: Position;
}

/** The memberships of a session, grouped by room. */
export class Places {
  readonly rooms: ReadonlyMap<string, { readonly channels: ReadonlySet<string>; readonly isWide: boolean }>;

  constructor(places: Iterable<Place>) {
    const rooms = new Map<string, { channels: Set<string>; isWide: boolean }>();
    for (const { room, channel } of places) {
      let found = rooms.get(room);
      if (found === undefined) {
        found = { channels: new Set(), isWide: false };
        rooms.set(room, found);
      }
      found.channels.add(channel);
      found.isWide ||= WIDE.test(channel);
    }
    this.rooms = rooms;
  }
}

/** A whole room, or a channel pattern. */
export const WIDE: RegExp = /[*>]/;
const ENTRY = /^(\+?)([^:]+):(.+?)(?:=(\d{1,16})@([A-Za-z0-9_-]*))?$/;
const NONE: ReadonlyMap<string, Position> = new Map();

/**
 * A session's positions in all its streams: the `id` of server-sent events, which a client sends back to resume without
 * a gap. As text, comma-separated entries `room:channel=SEQUENCE@EPOCH`, with a plus before memberships.
 */
export class Positions {
  private readonly rooms: Map<string, Map<string, Position>> = new Map();
  /** The text for these places; null once other streams than its own matter. */
  private written: { readonly places: Places; readonly text: PositionText } | null = null;

  /** Sets the start positions of a resumed stream: everything after them is still to be sent. */
  seed(resumed: readonly Resumed[]): void {
    for (const { room, since } of resumed) {
      for (const [channel, position] of Object.entries(since ?? {})) this.set(room, channel, position);
    }
  }

  /**
   * Records the result of a join. A known stream keeps its position, since its replay is still to come. For a stream
   * resumed with a position from elsewhere, nothing counts as received.
   */
  joined(room: string, positions: Readonly<Record<string, Position>>, wasResumed: boolean): void {
    for (const [channel, position] of Object.entries(positions)) {
      const known = this.rooms.get(room)?.get(channel);
      if (known !== undefined && known.epoch === position.epoch) continue;
      const isNew = known === undefined && !wasResumed;
      this.set(room, channel, isNew ? position : { sequence: 0, epoch: position.epoch });
    }
  }

  /** Records an event that was sent. */
  advance({ room, channel, name, position }: Stored): void {
    const known = this.rooms.get(room)?.get(channel);
    if (known !== undefined && known.epoch === position.epoch && known.sequence >= position.sequence) return;
    const { written } = this;
    this.set(room, channel, position);
    if (written?.text.advance(name, position) === true) this.written = written;
  }

  /** The text for these places; forgets all others. */
  text(places: Places): string {
    if (this.written?.places !== places) this.written = { places, text: this.write(places) };
    return this.written.text.text();
  }

  /** Whether the last {@link text} left nothing out. */
  get isWhole(): boolean {
    return this.written?.text.isWhole === true;
  }

  /** A copy that changes independently. */
  copy(): Positions {
    const copy = new Positions();
    for (const [room, streams] of this.rooms) copy.rooms.set(room, new Map(streams));
    const { written } = this;
    copy.written = written === null ? null : { places: written.places, text: written.text.copy() };
    return copy;
  }

  private write({ rooms }: Places): PositionText {
    for (const room of this.rooms.keys()) if (!rooms.has(room)) this.rooms.delete(room);
    const own: Entry[] = [];
    const others: Entry[] = [];
    for (const [room, { channels, isWide }] of rooms) {
      const streams = this.rooms.get(room);
      for (const channel of channels) own.push({ name: `${room}:${channel}`, position: streams?.get(channel) });
      if (streams === undefined) continue;
      for (const [channel, position] of streams) {
        if (channels.has(channel)) continue;
        if (isWide || channel === WILDCARD) others.push({ name: `${room}:${channel}`, position });
        else streams.delete(channel);
      }
    }
    return PositionText.of(own, others);
  }

  private set(room: string, channel: string, position: Position): void {
    this.written = null;
    const streams = this.rooms.get(room);
    if (streams === undefined) this.rooms.set(room, new Map([[channel, position]]));
    else streams.set(channel, position);
  }
}

/** Parses such a text into its memberships and the positions to join them with. Null if it is invalid. */
export function readPositions(text: string): Resumed[] | null {
  if (text.length > MAX_LENGTH) return null;
  const joined: Place[] = [];
  const streams = new Map<string, Map<string, Position>>();
  for (const entry of text === '' ? [] : text.split(',')) {
    const [, isMembership, room = '', channel = '', sequence, epoch = ''] = ENTRY.exec(entry) ?? [];
    if (room === '' || (isMembership === '' && sequence === undefined)) return null;
    if (isMembership === '+') joined.push({ room, channel });
    if (sequence === undefined) continue;
    const position = { sequence: Number(sequence), epoch };
    streams.set(room, (streams.get(room) ?? new Map<string, Position>()).set(channel, position));
  }
  const rooms = new Set<string>();
  return joined.map(({ room, channel }) => {
    // The room's own stream is replayed once, however many of its channels are joined.
    const isFirst = !rooms.has(room);
    rooms.add(room);
    return { room, channel, since: sinceOf(channel, streams.get(room) ?? NONE, isFirst) };
  });
}

/** A channel resumes its own stream and the room-wide one; a whole room, or a pattern, all known streams. */
function sinceOf(
  channel: string,
  streams: ReadonlyMap<string, Position>,
  withRoom: boolean,
): Record<string, Position> | undefined {
  const isRoom = channel === WILDCARD;
  const isPattern = !isRoom && WIDE.test(channel);
  const matches = isPattern ? compilePattern(channel) : (name: string) => isRoom || name === channel;
  const wanted = [...streams].filter(([name]) => matches(name) || (name === WILDCARD && withRoom && !isPattern));
  const isKnown = isPattern || isRoom ? wanted.length > 0 : streams.has(channel);
  return isKnown ? Object.fromEntries(wanted) : undefined;
}
