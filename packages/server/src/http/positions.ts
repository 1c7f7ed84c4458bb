import { compilePattern, type Position, WILDCARD } from '@arqonbus/protocol';

/** What is told of one membership when a stream goes on: its address, and where its streams stand. */
export interface Resumed {
  readonly room: string;
  readonly channel: string;
  /** Stream name to position, as `join_channel` takes it; undefined when nothing is known. */
  readonly since: Readonly<Record<string, Position>> | undefined;
}

/** What a membership tells of itself; the session's own places do. */
interface Place {
  readonly room: string;
  readonly channel: string;
}

/** A whole room, or a pattern of channels. */
export const WIDE: RegExp = /[*>]/;
/** Longest text of a position: request heads are at most 16 KiB, and a header has to fit beside others. */
const MAX_LENGTH = 6_144;
const ENTRY = /^(\+?)([^:]+):(.+?)(?:=(\d{1,16})@([A-Za-z0-9_-]*))?$/;
const NONE: ReadonlyMap<string, Position> = new Map();

/**
 * Where a session stands in all streams that it reads: the `id` of server-sent events, which a client hands back to go
 * on without a gap. As text, entries by commas: `room:channel=SEQUENCE@EPOCH`, a plus before what is a membership.
 */
export class Positions {
  private readonly rooms: Map<string, Map<string, Position>> = new Map();

  /** Where a resumed stream begins: what it has not been sent yet it still misses. */
  seed(resumed: readonly Resumed[]): void {
    for (const { room, since } of resumed) {
      for (const [channel, position] of Object.entries(since ?? {})) this.set(room, channel, position);
    }
  }

  /**
   * Notes what a join was answered. A stream that is known already stands where it stood, since its replay is still to
   * come. Of one that was asked for with a position of somebody else's, nothing is known to have arrived.
   */
  joined(room: string, positions: Readonly<Record<string, Position>>, wasResumed: boolean): void {
    for (const [channel, position] of Object.entries(positions)) {
      const known = this.rooms.get(room)?.get(channel);
      if (known !== undefined && known.epoch === position.epoch) continue;
      const isNew = known === undefined && !wasResumed;
      this.set(room, channel, isNew ? position : { sequence: 0, epoch: position.epoch });
    }
  }

  /** Notes an event that was sent. */
  advance(room: string, channel: string, position: Position): void {
    const known = this.rooms.get(room)?.get(channel);
    if (known !== undefined && known.epoch === position.epoch && known.sequence >= position.sequence) return;
    this.set(room, channel, position);
  }

  /** The text of what these memberships cover; forgets the rest. */
  text(memberships: Iterable<Place>): string {
    const joined = new Map<string, Set<string>>();
    for (const { room, channel } of memberships) joined.set(room, (joined.get(room) ?? new Set()).add(channel));
    for (const room of this.rooms.keys()) if (!joined.has(room)) this.rooms.delete(room);
    const own: string[] = [];
    const others: string[] = [];
    for (const [room, channels] of joined) {
      const streams = this.rooms.get(room);
      const isWide = [...channels].some((channel) => WIDE.test(channel));
      for (const channel of channels) own.push(`+${write(room, channel, streams?.get(channel))}`);
      for (const [channel, position] of streams ?? NONE) {
        if (channels.has(channel)) continue;
        if (isWide || channel === '*') others.push(write(room, channel, position));
        else streams?.delete(channel);
      }
    }
    return within([...own, ...others]);
  }

  private set(room: string, channel: string, position: Position): void {
    const streams = this.rooms.get(room);
    if (streams === undefined) this.rooms.set(room, new Map([[channel, position]]));
    else streams.set(channel, position);
  }
}

/** Reads such a text: the memberships in it, and what each of them joins with. Null when it is none. */
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
    // What was sent to the room itself is replayed once, whatever is joined in it.
    const isFirst = !rooms.has(room);
    rooms.add(room);
    return { room, channel, since: sinceOf(channel, streams.get(room) ?? NONE, isFirst) };
  });
}

/** A channel goes on in its own stream and the room-wide one; a whole room, or a pattern, in all that are known. */
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

function write(room: string, channel: string, position: Position | undefined): string {
  return `${room}:${channel}${position === undefined ? '' : `=${position.sequence}@${position.epoch}`}`;
}

/** As much as fits. A stream of a room that is left out is replayed from its beginning; a membership is not resumed. */
function within(entries: readonly string[]): string {
  let length = 0;
  const fitting = entries.filter((entry) => {
    if (length + entry.length >= MAX_LENGTH) return false;
    length += entry.length + 1;
    return true;
  });
  return fitting.join(',');
}
