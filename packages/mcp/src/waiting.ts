import { setTimeout as sleep } from 'node:timers/promises';
import { ArqonBusError } from '@arqonbus/client';
import { isPassing } from './agent.ts';
import { readCursor, START, writeCursor } from './cursor.ts';
import { MAX_ANSWER, NOTE, type Shown } from './message.ts';
import { type ChannelPlace, type GroupPlace, type Inbox, readPlace } from './place.ts';
import { MAX_WORK, type Page, positionOf, readAfter, type TimedCall, takeFrom } from './reading.ts';

/** Maximum places of one wait. */
export const MAX_PLACES = 8;
/** Maximum messages of one place in one answer. */
const LIMIT = 20;
/**
 * With several places, the wait of each request, milliseconds: a superseded request stays at the bus for that long.
 * Queues are polled without waiting, because messages leased by a superseded request would be stuck.
 */
const SLICE_MS = 2_000;
const SLICE_WITH_QUEUES_MS = 1_000;
/** Delay between attempts while the bus is unavailable, milliseconds. */
const PAUSE_MS = 250;

interface ChannelSpot {
  readonly name: string;
  readonly place: ChannelPlace;
  cursor: string;
  lost: boolean;
}

interface QueueSpot {
  readonly name: string;
  readonly place: GroupPlace | Inbox;
}

/**
 * Waits until one of several places has messages, or until the timeout; continues across a restart of the bus.
 *
 * @param places the cursor of each place; empty for queues, and for a channel from now on
 */
export async function waitFor(call: TimedCall, places: Readonly<Record<string, string>>): Promise<object> {
  const wait = new Wait(call, places);
  try {
    await call.agent.ready(call.signal, wait.left);
  } catch (error) {
    if (!isPassing(error)) throw error;
    return wait.answer(true);
  }
  for (let isFirst = true; ; isFirst = false) {
    let isAway = false;
    try {
      await wait.round(isFirst);
    } catch (error) {
      // Too many pending waits, of this agent or in total: polls until there are fewer.
      const isCrowded = error instanceof ArqonBusError && error.code === 'LIMIT_EXCEEDED';
      if (!isCrowded && !isPassing(error)) throw error;
      isAway = !isCrowded;
      await sleep(Math.max(0, Math.min(PAUSE_MS, wait.left)), undefined, { signal: call.signal });
    }
    if (wait.hasSomething || wait.left <= 0) return wait.answer(isAway);
  }
}

class Wait {
  private readonly call: TimedCall;
  private readonly channels: readonly ChannelSpot[];
  private readonly queues: readonly QueueSpot[];
  private readonly messages: Shown[] = [];
  private length = 0;

  constructor(call: TimedCall, places: Readonly<Record<string, string>>) {
    this.call = call;
    const spots = Object.entries(places).map(([name, cursor]) => ({ name, place: readPlace(name), cursor }));
    // Reports an invalid cursor before waiting.
    for (const { name, cursor } of spots) readCursor(cursor, `places.${name}`);
    this.channels = spots.flatMap(({ name, place, cursor }) =>
      place.kind === 'channel' ? [{ name, place, cursor, lost: false }] : [],
    );
    this.queues = spots.flatMap(({ name, place }) => (place.kind === 'channel' ? [] : [{ name, place }]));
  }

  /** The remaining time, milliseconds. */
  get left(): number {
    return this.call.until - performance.now();
  }

  get hasSomething(): boolean {
    return this.messages.length > 0 || this.channels.some(({ lost }) => lost);
  }

  answer(isAway: boolean): object {
    const lost = this.channels.filter((spot) => spot.lost).map(({ name }) => name);
    const channels = this.channels.map(({ name, cursor }) => [name, cursor] as const);
    const queues = this.queues.map(({ name }) => [name, ''] as const);
    return {
      note: NOTE,
      messages: this.messages,
      places: Object.fromEntries([...channels, ...queues]),
      ...(lost.length > 0 ? { lost: true, lost_in: lost } : {}),
      ...(isAway ? { bus: 'away; wait again' } : {}),
    };
  }

  /** Checks all places; the first time without waiting, so that every place gets its turn. */
  async round(isFirst: boolean): Promise<void> {
    const isSingle = this.channels.length + this.queues.length === 1;
    const slice = this.queues.length > 0 ? SLICE_WITH_QUEUES_MS : SLICE_MS;
    const waitMs = isSingle ? this.left : isFirst ? 0 : Math.min(slice, this.left);
    await this.takeAll(isSingle ? waitMs : 0);
    try {
      await this.readAll(Math.max(0, waitMs));
    } catch (error) {
      // Leased messages must be returned now; the channels are read again from their cursors.
      if (this.messages.length === 0) throw error;
    }
    if (this.channels.length === 0 && !isSingle && !this.hasSomething && waitMs > 0) {
      await sleep(waitMs, undefined, { signal: this.call.signal });
    }
  }

  private async takeAll(waitMs: number): Promise<void> {
    for (const { place } of this.queues) {
      try {
        this.add(await takeFrom(this.call, place, MAX_WORK, Math.max(0, waitMs)));
      } catch (error) {
        if (this.messages.length === 0) throw error;
      }
    }
  }

  private async readAll(waitMs: number): Promise<void> {
    if (this.channels.length === 0) return;
    for (const spot of this.channels) {
      if (spot.cursor === '') spot.cursor = writeCursor(await positionOf(this.call, spot.place));
    }
    const isWhole = waitMs === 0 || this.messages.length > 0;
    const pages: { spot: ChannelSpot; page: Page }[] = [];
    await new Promise<void>((resolve, reject) => {
      let open = this.channels.length;
      for (const spot of this.channels) {
        const since = readCursor(spot.cursor, `places.${spot.name}`) ?? START;
        readAfter(this.call, spot.place, since, LIMIT, isWhole ? 0 : waitMs).then((page) => {
          pages.push({ spot, page });
          open -= 1;
          if (open === 0 || (!isWhole && (page.messages.length > 0 || page.lost))) resolve();
        }, reject);
      }
    });
    // A later page is read again by the next wait, from the returned cursor.
    for (const { spot, page } of pages) {
      if (this.length > MAX_ANSWER) break;
      this.add(page.messages);
      spot.cursor = page.cursor;
      spot.lost = page.lost;
    }
  }

  private add(messages: readonly Shown[]): void {
    this.messages.push(...messages);
    for (const message of messages) this.length += JSON.stringify(message).length;
  }
}
