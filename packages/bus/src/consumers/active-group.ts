import type { Driver } from './driver.ts';
import { type GroupPlace, type GroupRecord, groupKey, mayRest } from './group.ts';
import type { Member } from './members.ts';
import { notDriven } from './operations.ts';

/** Called when this node starts or stops driving a group. */
export type OnDriving = (isDriving: boolean) => void;

/** A group as one node knows it: its settings, its members on this node, and its driver. */
export class ActiveGroup {
  readonly tenant: string;
  readonly key: string;
  readonly place: GroupPlace;
  /** Whether it is in the store; any other group exists only on this node, and ends with it. */
  readonly isKept: boolean;
  record: GroupRecord;
  /** Set if this node drives it. */
  driver: Driver | null = null;
  isStarting = false;
  /** It is being released because it is idle. */
  isSettlingDown = false;
  /** Requests of this node that wait for its driver. */
  questions = 0;
  /** The other node that drives it, as far as this one knows. */
  driverNode: string | null = null;
  /** Members on this node, by id. */
  readonly members: Map<string, Member> = new Map();
  /** When other nodes last reported members in it, if this node drives it. */
  readonly heardOf: Map<string, number> = new Map();
  /** It was deleted. */
  isGone = false;
  private readonly waiting: Set<() => void> = new Set();
  private readonly onDriving: OnDriving;
  private wasDriving = false;

  constructor(tenant: string, record: GroupRecord, isKept: boolean, onDriving: OnDriving = () => {}) {
    this.onDriving = onDriving;
    this.tenant = tenant;
    this.record = record;
    this.isKept = isKept;
    this.key = groupKey(record);
    this.place = { tenant, room: record.room, channel: record.channel, group: record.group };
  }

  /** Whether it needs no driver while it is idle. */
  get mayRest(): boolean {
    return this.isKept && mayRest(this.record);
  }

  /** Its driver has changed, or it is gone. */
  changed(): void {
    const isDriving = this.driver !== null;
    if (isDriving !== this.wasDriving) {
      this.wasDriving = isDriving;
      this.onDriving(isDriving);
    }
    for (const wake of [...this.waiting]) wake();
  }

  /** Resolves with the response of the driving node; STORAGE_UNAVAILABLE when it no longer drives the group. */
  whileDrivenBy<T>(node: string, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.driverNode !== node) reject(notDriven());
      };
      this.waiting.add(look);
      answer.then(resolve, reject).finally(() => this.waiting.delete(look));
    });
  }

  /** Resolves when something has changed, or after `ms`. */
  untilChanged(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      this.waiting.add(wake);
    });
  }
}
