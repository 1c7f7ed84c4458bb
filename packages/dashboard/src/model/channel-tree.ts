import type { ChannelSummary } from '@arqonbus/protocol';

/** The sort order of rooms and channels: by name, or largest first. */
export type Order = 'name' | 'bytes' | 'members';

export interface RoomNode {
  readonly room: string;
  readonly channels: readonly ChannelSummary[];
  /** Total stored bytes of its channels; undefined while the storage is unavailable. */
  readonly bytes: number | undefined;
  /** Total events per second of its channels; undefined before two responses. */
  readonly rate: number | undefined;
}

/** Events per second of channels, from the growth of their sequences between lists. */
export class ChannelRates {
  private before = new Map<string, { readonly sequence: number; readonly at: number }>();

  /**
   * Takes the next list, and returns the rate of each channel that was in the previous one.
   *
   * @param at the time of the list, milliseconds of a monotonic clock
   */
  take(channels: readonly ChannelSummary[], at: number): ReadonlyMap<string, number> {
    const rates = new Map<string, number>();
    const now = new Map<string, { readonly sequence: number; readonly at: number }>();
    for (const { room, channel, sequence } of channels) {
      if (sequence === undefined) continue;
      const name = `${room}:${channel}`;
      now.set(name, { sequence, at });
      const last = this.before.get(name);
      // A lower sequence means that the channel was restarted.
      if (last === undefined || sequence < last.sequence || at <= last.at) continue;
      rates.set(name, (1000 * (sequence - last.sequence)) / (at - last.at));
    }
    this.before = now;
    return rates;
  }
}

/** Rooms with their channels, sorted. */
export function treeOf(
  channels: readonly ChannelSummary[],
  rates: ReadonlyMap<string, number>,
  order: Order,
): readonly RoomNode[] {
  const rooms = new Map<string, ChannelSummary[]>();
  for (const one of channels) {
    const known = rooms.get(one.room);
    if (known === undefined) rooms.set(one.room, [one]);
    else known.push(one);
  }
  const weigh = ({ bytes = 0, members }: ChannelSummary): number => (order === 'bytes' ? bytes : members);
  const nodes = [...rooms].map(([room, all]) => ({
    room,
    channels: order === 'name' ? all : all.toSorted((one, other) => weigh(other) - weigh(one)),
    bytes: total(all.map(({ bytes }) => bytes)),
    rate: total(all.map(({ channel }) => rates.get(`${room}:${channel}`))),
    weight: total(all.map(weigh)) ?? 0,
  }));
  if (order !== 'name') nodes.sort((one, other) => other.weight - one.weight);
  return nodes.map(({ weight: _, ...node }) => node);
}

/** The sum of the known values; undefined if there are none. */
function total(figures: readonly (number | undefined)[]): number | undefined {
  const known = figures.filter((figure) => figure !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, figure) => sum + figure, 0);
}
