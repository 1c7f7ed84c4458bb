import { BusError, type Draft, IDEMPOTENCE_WINDOW_MS, sealUnstored, WILDCARD } from '@arqonbus/protocol';
import type { Access } from '../access.ts';
import type { Sender } from '../connection/session.ts';
import type { GroupPlace } from '../consumers/group.ts';
import type { Groups } from '../consumers/groups.ts';
import type { Published } from '../engine/engine.ts';
import { RecentIds } from '../engine/recent-ids.ts';
import type { Message, Outcome, Publisher } from '../publish.ts';
import { resolve } from '../resolve.ts';

/** The default group that answers the requests of a channel. */
const SERVE = 'serve';
/** Number of requests between two cleanups of expired ids. */
const SWEEP_EVERY = 1_024;

export interface RequestsParts {
  readonly access: Access;
  readonly groups: Groups;
  readonly publisher: Publisher;
}

/** Events with `options.request`: sent to one member of a group, and refused at once when it has no members. */
export class Requests {
  private readonly parts: RequestsParts;
  /** Requests that were sent to a member without being stored. */
  private readonly recent: RecentIds = new RecentIds(performance.now());
  private count = 0;

  constructor(parts: RequestsParts) {
    this.parts = parts;
  }

  /** Publishes a request. Rejects with NO_RESPONDERS, and then nothing is stored. */
  async publish(sender: Sender, message: Message): Promise<Outcome> {
    const { access, groups, publisher } = this.parts;
    const { principal, session } = sender;
    const { room, channel } = resolve(message.room, message.channel, session);
    access.require(principal, 'publish', room, channel);
    if (channel === WILDCARD) {
      throw new BusError('VALIDATION_ERROR', 'A request goes to one channel; name it.', { field: 'channel' });
    }
    const { request, ephemeral } = message.options ?? {};
    const place = { tenant: principal.tenant, room, channel, group: request?.group ?? SERVE };
    if ((await groups.liveMembers(place)) === 0) throw nobodyIn(place);
    const to = { ...message, room, channel };
    if (ephemeral !== true) return publisher.publish(sender, to);
    return publisher.publish(sender, to, (_, draft, identity) =>
      this.hand(place, draft, identity, request?.timeout_ms ?? 0),
    );
  }

  /** Sends a request to a connected member; it is not stored and has no lease. */
  private async hand(
    place: GroupPlace,
    { id, time, open }: Draft,
    identity: string,
    timeoutMs: number,
  ): Promise<Published> {
    const answer = { sequence: 0, epoch: '', stored: 'none', delivered: 0, duplicate: true } as const;
    const { tenant, room, channel, group } = place;
    const now = performance.now();
    this.count += 1;
    if (this.count % SWEEP_EVERY === 0) this.recent.sweep(now);
    const who = `${tenant}/${room}:${channel}/${group} ${identity}`;
    if (this.recent.claim(0, who, id, 0, now, IDEMPOTENCE_WINDOW_MS) >= 0) return answer;
    if (!(await this.parts.groups.handLive(place, sealUnstored(open), new Date(time + timeoutMs).toISOString())))
      throw nobodyIn(place);
    return { ...answer, delivered: 1, duplicate: false };
  }
}

function nobodyIn({ room, channel, group }: GroupPlace): BusError {
  const message = `Nobody of the group ${group} at ${room}:${channel} is there to answer; try again later.`;
  return new BusError('NO_RESPONDERS', message, { room, channel, group });
}
