import { newId } from '@arqonbus/protocol';
import type { Sender, Session } from '../connection/session.ts';
import type { ActiveGroup } from './active-group.ts';
import type { Drivers } from './drivers.ts';

/** A request for events by a caller that is not a member. */
export interface PullRequest {
  readonly limit: number;
  readonly waitMs: number;
  /** Aborted when a caller without a connection has gone. */
  readonly signal?: AbortSignal | undefined;
}

interface PullUnderWay {
  readonly active: ActiveGroup;
  readonly who: string;
  /** Nobody waits for its response any more. */
  isOver: boolean;
}

/** Open pulls that were requested on this node, whichever node drives the group. */
export class Pulling {
  private readonly drivers: Drivers;
  /** Each with the connection of its caller; null: none. */
  private readonly underWay: Map<PullUnderWay, Session | null> = new Map();

  constructor(drivers: Drivers) {
    this.drivers = drivers;
  }

  async pull(
    { session, identity }: Sender,
    active: ActiveGroup,
    { limit, waitMs, signal }: PullRequest,
  ): Promise<{ texts: string[]; pending: number }> {
    if (signal?.aborted === true) return { texts: [], pending: 0 };
    // A unique name for each pull: when one is cancelled, others of the same caller keep their events.
    const pull = { active, who: `${identity} ${newId()}`, isOver: false };
    const gone = (): void => this.cancel(pull);
    this.underWay.set(pull, session);
    signal?.addEventListener('abort', gone);
    const args = { who: pull.who, limit, waitMs };
    const again = (leftMs: number) => (pull.isOver ? undefined : { ...args, waitMs: leftMs, isAgain: true });
    try {
      return await this.drivers.ask(active, 'pull', args, waitMs, again);
    } catch (error) {
      if (pull.isOver) return { texts: [], pending: 0 };
      throw error;
    } finally {
      signal?.removeEventListener('abort', gone);
      this.underWay.delete(pull);
    }
  }

  left(session: Session): void {
    if (this.underWay.size === 0) return;
    for (const [pull, whose] of this.underWay) if (whose === session) this.cancel(pull);
  }

  /** Ends all pulls, without events. */
  endAll(): void {
    for (const pull of this.underWay.keys()) this.cancel(pull);
  }

  private cancel(pull: PullUnderWay): void {
    const { active, who } = pull;
    pull.isOver = true;
    // If the driver cannot be reached, the leases that it gives out expire.
    this.drivers.ask(active, 'cancel', { who }).catch(() => {});
  }
}
