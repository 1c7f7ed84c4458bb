import type { ChannelSummary } from '@arqonbus/protocol';

/** By what rooms and channels stand one below the other: by name, or the largest first. */
export type Order = 'name' | 'bytes' | 'members';

export interface RoomNode {
  readonly room: string;
  readonly channels: readonly ChannelSummary[];
  /** What its channels keep together; undefined while the storage is away. */
  readonly bytes: number | undefined;
  /** Events a second of its channels together; undefined before two answers. */
  readonly rate: number | undefined;
}

/** How many events a second channels get, from how their sequences grow from one list to the next. */
export class ChannelRates {
  private before = new Map<string, { readonly sequence: number; readonly at: number }>();

  /**
   * Takes the next list, and answers the rate of each channel that was in the one before.
   *
   * @param at when it was made, milliseconds by any clock that does not step
   */
  take(channels: readonly ChannelSummary[], at: number): ReadonlyMap<string, number> {
    const rates = new Map<string, number>();
    const now = new Map<string, { readonly sequence: number; readonly at: number }>();
    for (const { room, channel, sequence } of channels) {
      if (sequence === undefined) continue;
      const name = `${room}:${channel}`;
      now.set(name, { sequence, at });
      const last = this.before.get(name);
      // One that fell began anew.
      if (last === undefined || sequence < last.sequence || at <= last.at) continue;
      rates.set(name, (1000 * (sequence - last.sequence)) / (at - last.at));
    }
    this.before = now;
    return rates;
  }
}

/** Rooms with their channels, in an order. */
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

/** Of those that are known; undefined when none is. */
function total(figures: readonly (number | undefined)[]): number | undefined {
  const known = figures.filter((figure) => figure !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, figure) => sum + figure, 0);
}
