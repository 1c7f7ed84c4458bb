import { BusError, type Inbound, type JsonObject, PRIVATE_CHANNEL } from '@arqonbus/protocol';
import type { Sender } from './connection/session.ts';
import type { Direct, PrivateOutcome } from './direct.ts';
import type { Awaitable } from './engine/engine.ts';
import type { Message, Outcome, Publisher } from './publish.ts';
import { resolve } from './resolve.ts';
import type { Submissions } from './submission.ts';

/** The three ways that a message may go. */
export interface Ways {
  readonly publisher: Publisher;
  readonly direct: Direct;
  readonly submissions: Submissions;
}

export type Posted = Outcome | PrivateOutcome;

/**
 * Sends a validated event, private message or telemetry event of anybody, over whatever transport it came; commands
 * are none of these. Throws or rejects with what refused it.
 */
export function post(ways: Ways, sender: Sender, inbound: Inbound): Awaitable<Posted> {
  switch (inbound.type) {
    case 'telemetry':
      return ways.submissions.submit(sender, inbound);
    case 'private':
      return send(ways, sender, inbound, inbound, inbound.channel === PRIVATE_CHANNEL);
    default:
      if (inbound.channel === PRIVATE_CHANNEL) {
        return send(ways, sender, inbound, resolve(inbound.room, inbound.channel, sender.session), true);
      }
      return ways.publisher.publish(sender, inbound as Message);
  }
}

/** @param membersOnly whether only members of the room are reached, as `room:pm` says */
function send(
  ways: Ways,
  sender: Sender,
  inbound: Inbound,
  { room, channel }: Pick<Inbound, 'room' | 'channel'>,
  membersOnly: boolean,
): Awaitable<PrivateOutcome> {
  const { to } = inbound;
  if (to === undefined) {
    throw new BusError('VALIDATION_ERROR', 'A private message needs its recipients in "to".', {
      field: 'to',
      expected: 'client id | sub:SUBJECT, or a list of them',
    });
  }
  return ways.direct.send(sender, { ...inbound, to, room, channel, membersOnly });
}

/** What an ack tells (PROTOCOL section 6, guarantee 2): its payload, and the address that was resolved, if any. */
export function receipt(posted: Posted): { payload: JsonObject; at: { room: string; channel: string } | undefined } {
  if (!('channel' in posted)) return { payload: { ...posted, stored: 'none' }, at: undefined };
  const { room, channel } = posted.channel;
  return { payload: { ...posted.published }, at: { room, channel } };
}
