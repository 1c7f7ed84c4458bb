import { WILDCARD } from '@arqonbus/protocol';
import type { StreamAddress, StreamEvent } from '../engine/engine.ts';
import type { Driver } from './driver.ts';
import { isWide } from './group.ts';

type Rooms = Map<string, Map<string, Set<Driver>>>;

/** The drivers of this node by what they read: an event costs only the drivers that may read it. */
export class DriverIndex {
  private readonly all: Set<Driver> = new Set();
  /** By tenant, room, and channel; `*` for those that read several. */
  private readonly tenants: Map<string, Rooms> = new Map();

  get size(): number {
    return this.all.size;
  }

  [Symbol.iterator](): IterableIterator<Driver> {
    return this.all.values();
  }

  add(driver: Driver): void {
    const { tenant, room } = driver.place;
    this.all.add(driver);
    const rooms: Rooms = this.tenants.get(tenant) ?? new Map();
    this.tenants.set(tenant, rooms);
    const channels = rooms.get(room) ?? new Map<string, Set<Driver>>();
    rooms.set(room, channels);
    const drivers = channels.get(channelOf(driver)) ?? new Set();
    channels.set(channelOf(driver), drivers.add(driver));
  }

  remove(driver: Driver): void {
    const { tenant, room } = driver.place;
    this.all.delete(driver);
    const channels = this.tenants.get(tenant)?.get(room);
    const drivers = channels?.get(channelOf(driver));
    drivers?.delete(driver);
    if (drivers?.size === 0) channels?.delete(channelOf(driver));
    if (channels?.size === 0) this.tenants.get(tenant)?.delete(room);
  }

  /** Passes an event of this node to the drivers that may read it. Neither throws nor blocks. */
  take(event: StreamEvent): void {
    this.reach(event.stream, event);
  }

  /** This node may have missed events of a stream. */
  doubt(stream: StreamAddress): void {
    this.reach(stream, null);
  }

  /** @param event null: unknown events */
  private reach({ tenant, room, channel }: StreamAddress, event: StreamEvent | null): void {
    const rooms = this.tenants.get(tenant);
    if (rooms === undefined) return;
    const here = rooms.get(room);
    if (here !== undefined) {
      show(here.get(channel), event);
      if (channel !== WILDCARD) show(here.get(WILDCARD), event);
    }
    show(rooms.get(WILDCARD)?.get(WILDCARD), event);
  }
}

function channelOf({ place: { channel } }: Driver): string {
  return isWide(channel) ? WILDCARD : channel;
}

function show(drivers: Iterable<Driver> | undefined, event: StreamEvent | null): void {
  if (drivers === undefined) return;
  for (const driver of drivers) {
    if (event === null) driver.doubt();
    else driver.take(event);
  }
}
