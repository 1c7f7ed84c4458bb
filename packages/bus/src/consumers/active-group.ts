import type { Driver } from './driver.ts';
import { type GroupPlace, type GroupRecord, groupKey, mayRest } from './group.ts';
import type { Member } from './members.ts';
import { notDriven } from './operations.ts';

/** Told when this node drives a group from now on, or does not any more. */
export type OnDriving = (isDriving: boolean) => void;

/** A group as one node knows it: its settings, who of this node is in it, and who drives it. */
export class ActiveGroup {
  readonly tenant: string;
  readonly key: string;
  readonly place: GroupPlace;
  /** Whether it is in the store; one that is not lives and ends with this node. */
  readonly isKept: boolean;
  record: GroupRecord;
  /** Here, if this node drives it. */
  driver: Driver | null = null;
  isStarting = false;
  /** It is being given up, since there is nothing to do. */
  isSettlingDown = false;
  /** Questions of this node that wait for its driver. */
  questions = 0;
  /** The other node that drives it, as far as this one knows. */
  driverNode: string | null = null;
  /** Of this node, by id. */
  readonly members: Map<string, Member> = new Map();
  /** Nodes that have members in it, and when they last said so, where this node drives it. */
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

  /** Whether nobody has to drive it while there is nothing to do. */
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

  /** What a node answers that drives the group. Rejects with STORAGE_UNAVAILABLE once it does not: it may be dead. */
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
