import { newId } from '@arqonbus/protocol';
import type { Sender, Session } from '../connection/session.ts';
import type { ActiveGroup } from './active-group.ts';
import type { Drivers } from './drivers.ts';

/** What somebody who is no member wants of a group. */
export interface PullRequest {
  readonly limit: number;
  readonly waitMs: number;
  /** Aborted when a caller without a connection has gone. */
  readonly signal?: AbortSignal | undefined;
}

interface PullUnderWay {
  readonly active: ActiveGroup;
  readonly who: string;
  /** Nobody waits for its answer any more. */
  isOver: boolean;
}

/** Pulls that were asked for on this node and are not answered yet, wherever the group is driven. */
export class Pulling {
  private readonly drivers: Drivers;
  /** Each with the connection that asks; null: none. */
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
    // A name of its own for each: when one is called off, others of the same caller keep what they got.
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

  /** Everybody is answered, with nothing. */
  endAll(): void {
    for (const pull of this.underWay.keys()) this.cancel(pull);
  }

  private cancel(pull: PullUnderWay): void {
    const { active, who } = pull;
    pull.isOver = true;
    // When the driver cannot be told, the leases that it gives out end by themselves.
    this.drivers.ask(active, 'cancel', { who }).catch(() => {});
  }
}
