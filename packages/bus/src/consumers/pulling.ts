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
}

/** Pulls that were asked for on this node and are not answered yet, wherever the group is driven. */
export class Pulling {
  private readonly drivers: Drivers;
  private readonly ofSessions: Map<PullUnderWay, Session> = new Map();

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
    const pull = { active, who: `${identity} ${newId()}` };
    const gone = (): void => this.cancel(pull);
    if (session !== null) this.ofSessions.set(pull, session);
    signal?.addEventListener('abort', gone);
    try {
      return await this.drivers.ask(active, 'pull', { who: pull.who, limit, waitMs }, waitMs);
    } finally {
      signal?.removeEventListener('abort', gone);
      this.ofSessions.delete(pull);
    }
  }

  left(session: Session): void {
    if (this.ofSessions.size === 0) return;
    for (const [pull, whose] of this.ofSessions) if (whose === session) this.cancel(pull);
  }

  private cancel({ active, who }: PullUnderWay): void {
    // When the driver cannot be told, the leases that it gives out end by themselves.
    this.drivers.ask(active, 'cancel', { who }).catch(() => {});
  }
}
