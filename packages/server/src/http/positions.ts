import { compilePattern, type Position, WILDCARD } from '@arqonbus/protocol';

/** A membership to resume: its address and its stream positions. */
export interface Resumed {
  readonly room: string;
  readonly channel: string;
  /** Positions by stream name, as `join_channel` takes them; undefined if none is known. */
  readonly since: Readonly<Record<string, Position>> | undefined;
}

/** The address of a membership, or of a stream. */
export interface Place {
  readonly room: string;
  readonly channel: string;
}

/** A stream; its name is `room:channel`. */
interface Stream extends Place {
  readonly name: string;
}

/** The stream position of a stored event. */
export interface Stored extends Stream {
  readonly position: Position;
}

/** A whole room, or a channel pattern. */
export const WIDE: RegExp = /[*>]/;
/** Maximum length of a position: request headers total at most 16 KiB, including others. */
const MAX_LENGTH = 6_144;
const ENTRY = /^(\+?)([^:]+):(.+?)(?:=(\d{1,16})@([A-Za-z0-9_-]*))?$/;
const NONE: ReadonlyMap<string, Position> = new Map();
const NO_ROOMS: ReadonlyMap<string, boolean> = new Map();

/** The streams of a position, in the order of its text. */
class Streams {
  readonly all: Stream[];
  readonly indexes: Map<string, number>;
  /** How many of them are memberships; they are the first. */
  memberships = 0;
  /** The places that it was made for; null before that. */
  places: readonly Place[] | null = null;
  /** The rooms of these places, and whether further streams of a room matter. */
  private rooms: ReadonlyMap<string, boolean> = NO_ROOMS;

  constructor(all: Stream[] = [], indexes: Map<string, number> = new Map()) {
    this.all = all;
    this.indexes = indexes;
  }

  add(room: string, channel: string): number {
    const name = `${room}:${channel}`;
    this.indexes.set(name, this.all.length);
    return this.all.push({ room, channel, name }) - 1;
  }

  copy(): Streams {
    const copy = new Streams([...this.all], new Map(this.indexes));
    copy.memberships = this.memberships;
    copy.places = this.places;
    copy.rooms = this.rooms;
    return copy;
  }

  /** Whether a stream that is not a membership matters. */
  takes(room: string, channel: string): boolean {
    if (this.places === null) return true;
    const isWide = this.rooms.get(room);
    return isWide === true || (isWide === false && channel === WILDCARD);
  }

  /** Those that matter for these places: first the memberships, then the known ones of wide places. */
  for(places: readonly Place[], isKnown: (name: string) => boolean): Streams {
    const joined = new Map<string, Set<string>>();
    for (const { room, channel } of places) joined.set(room, (joined.get(room) ?? new Set()).add(channel));
    const ordered = new Streams();
    for (const [room, channels] of joined) for (const channel of channels) ordered.add(room, channel);
    ordered.memberships = ordered.all.length;
    ordered.places = places;
    ordered.rooms = new Map(
      [...joined].map(([room, channels]) => [room, [...channels].some((channel) => WIDE.test(channel))]),
    );
    for (const { room, channel, name } of this.all) {
      if (isKnown(name) && !ordered.indexes.has(name) && ordered.takes(room, channel)) ordered.add(room, channel);
    }
    return ordered;
  }
}

/**
 * A session's positions in all its streams: the `id` of server-sent events, which a client sends back to resume without
 * a gap. As text, comma-separated entries `room:channel=SEQUENCE@EPOCH`, with a plus before memberships.
 */
export class Positions {
  private streams: Streams;
  /** The position in each stream, undefined where none is known. */
  private values: (Position | undefined)[];
  /** Whether no copy has the same streams. */
  private ownsStreams = true;
  /** The stream that advanced last. Most events advance the same one, so the text around its entry is kept. */
  private last = 0;
  private around: { readonly before: string; readonly after: string } | null = null;
  /** Whether the last {@link text} left nothing out. */
  isWhole = true;

  private constructor(streams: Streams, values: (Position | undefined)[]) {
    this.streams = streams;
    this.values = values;
  }

  /** The start of a resumed session: everything after these positions is still to be sent. */
  static of(resumed: readonly Resumed[]): Positions {
    const positions = new Positions(new Streams(), []);
    for (const { room, since } of resumed) {
      for (const [channel, position] of Object.entries(since ?? {})) positions.set(room, channel, position);
    }
    return positions;
  }

  /** A copy that changes independently. */
  copy(): Positions {
    const copy = new Positions(this.streams, this.values.slice());
    copy.ownsStreams = false;
    this.ownsStreams = false;
    copy.last = this.last;
    copy.around = this.around;
    copy.isWhole = this.isWhole;
    return copy;
  }

  /** Sets the places whose streams matter, and forgets all others. */
  follow(places: readonly Place[]): void {
    if (this.streams.places === places) return;
    const streams = this.streams.for(places, (name) => this.known(name) !== undefined);
    this.values = streams.all.map(({ name }) => this.known(name));
    this.streams = streams;
    this.ownsStreams = true;
    this.last = 0;
    this.around = null;
  }

  /**
   * Records the result of a join. A known stream keeps its position, since its replay is still to come. For a stream
   * resumed with a position from elsewhere, nothing counts as received.
   */
  joined(room: string, positions: Readonly<Record<string, Position>>, wasResumed: boolean): void {
    for (const [channel, position] of Object.entries(positions)) {
      const known = this.known(`${room}:${channel}`);
      if (known !== undefined && known.epoch === position.epoch) continue;
      const isNew = known === undefined && !wasResumed;
      this.set(room, channel, isNew ? position : { sequence: 0, epoch: position.epoch });
    }
  }

  /** Records an event that was sent. */
  advance({ room, channel, name, position }: Stored): void {
    const index = this.streams.indexes.get(name);
    const known = index === undefined ? undefined : this.values[index];
    if (known !== undefined && known.epoch === position.epoch && known.sequence >= position.sequence) return;
    if (index === undefined) this.set(room, channel, position);
    else this.put(index, position);
  }

  /**
   * The text for these places; forgets all other streams. Of too many entries it has those that fit: a room's stream
   * that is left out is replayed from its start, and a membership that is left out is not resumed.
   */
  text(places: readonly Place[]): string {
    this.follow(places);
    if (this.values.length === 0) return '';
    const { around, last } = this;
    if (around !== null) {
      const text = `${around.before}${this.entry(last)}${around.after}`;
      this.isWhole = text.length < MAX_LENGTH;
      if (this.isWhole) return text;
    }
    const entries = this.values.map((_value, index) => this.entry(index));
    const text = entries.join(',');
    this.isWhole = text.length < MAX_LENGTH;
    if (!this.isWhole) return within(entries);
    const start = entries.slice(0, last).reduce((length, entry) => length + entry.length + 1, 0);
    const end = start + (entries[last] as string).length;
    this.around = { before: text.slice(0, start), after: text.slice(end) };
    return text;
  }

  private known(name: string): Position | undefined {
    const index = this.streams.indexes.get(name);
    return index === undefined ? undefined : this.values[index];
  }

  private set(room: string, channel: string, position: Position): void {
    let index = this.streams.indexes.get(`${room}:${channel}`);
    if (index === undefined) {
      if (!this.streams.takes(room, channel)) return;
      if (!this.ownsStreams) this.streams = this.streams.copy();
      this.ownsStreams = true;
      index = this.streams.add(room, channel);
    }
    this.put(index, position);
  }

  private put(index: number, position: Position): void {
    this.values[index] = position;
    if (index === this.last) return;
    this.last = index;
    this.around = null;
  }

  private entry(index: number): string {
    const { streams, values } = this;
    const position = values[index];
    const plus = index < streams.memberships ? '+' : '';
    const { name } = streams.all[index] as Stream;
    return position === undefined ? `${plus}${name}` : `${plus}${name}=${position.sequence}@${position.epoch}`;
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

function within(entries: readonly string[]): string {
  let length = 0;
  const fitting = entries.filter((entry) => {
    if (length + entry.length >= MAX_LENGTH) return false;
    length += entry.length + 1;
    return true;
  });
  return fitting.join(',');
}
