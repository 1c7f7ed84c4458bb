import {
  BusError,
  INBOX,
  isChannelName,
  isChannelPattern,
  isRoomName,
  MAIL_ROOM,
  type Position,
  WILDCARD,
} from '@arqonbus/protocol';
import { z } from 'zod';
import type { StreamAddress } from '../engine/engine.ts';
import type { LedgerLimits } from './ledger.ts';

export const GROUP_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
/** Maximum streams of one group; a room or pattern with more is refused, and later channels beyond it are reported. */
export const MAX_STREAMS = 1_000;

const DAY_SECONDS = 86_400;

/** The settings of a group, as `group.create` takes them and `group.info` returns them. */
export const GROUP_SETTINGS: {
  readonly ack_wait_seconds: z.ZodNumber;
  readonly max_attempts: z.ZodNumber;
  readonly backoff_seconds: z.ZodArray<z.ZodNumber>;
  readonly max_unacked: z.ZodNumber;
  readonly dead_letter: z.ZodString;
  readonly key: z.ZodString;
  readonly expires_seconds: z.ZodNumber;
} = {
  ack_wait_seconds: z
    .number()
    .min(0.1)
    .max(DAY_SECONDS)
    .describe('How long a member has for one event before it is redelivered (default 30).'),
  max_attempts: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .describe('Deliveries of one event, after which it is a dead letter (default 5).'),
  backoff_seconds: z
    .array(z.number().min(0).max(DAY_SECONDS))
    .min(1)
    .max(20)
    .describe('The delay before the second, third, … attempt; the last for all further ones (default 1, 5, 30).'),
  max_unacked: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .describe(
      'Events unacknowledged or waiting for another attempt, beyond which the group reads no further (default 256).',
    ),
  dead_letter: z
    .string()
    .max(257)
    .regex(/^[^:]+:[^:]+$/, 'must name one channel, as room:channel')
    .describe('Where dead letters are published, as room:channel (default: the same room, the channel and ".dead").'),
  key: z
    .string()
    .regex(/^(metadata|payload)(\.[^.\0]{1,64}){1,8}$/, 'must be a path like metadata.order_id')
    .meta({
      // A form that the regular expressions of all languages accept.
      pattern: '^(metadata|payload)(\\.[^.\\x00]{1,64}){1,8}$',
      description: 'Path of a value; events that share it stay in order with one member.',
    }),
  expires_seconds: z
    .number()
    .int()
    .min(1)
    .max(365 * DAY_SECONDS)
    .describe('Delete the group after this time without members or requests.'),
};

export interface GroupSettings {
  readonly ack_wait_seconds: number;
  readonly max_attempts: number;
  readonly backoff_seconds: readonly number[];
  readonly max_unacked: number;
  readonly dead_letter: string | null;
  readonly key: string | null;
  readonly expires_seconds: number | null;
}

const DEFAULTS: GroupSettings = {
  ack_wait_seconds: 30,
  max_attempts: 5,
  backoff_seconds: [1, 5, 30],
  max_unacked: 256,
  dead_letter: null,
  key: null,
  expires_seconds: null,
};

/** The settings that were given explicitly. */
export type GivenSettings = { readonly [K in keyof GroupSettings]?: NonNullable<GroupSettings[K]> };

/** Settings with defaults. Throws VALIDATION_ERROR for a `dead_letter` that is not the address of one channel. */
export function settingsOf(given: GivenSettings): GroupSettings {
  const { dead_letter } = given;
  if (dead_letter !== undefined) {
    const [room = '', channel = '', ...rest] = dead_letter.split(':');
    if (!isRoomName(room) || !isChannelName(channel) || rest.length > 0) {
      throw new BusError('VALIDATION_ERROR', '"dead_letter" names one channel, as room:channel.', {
        field: 'dead_letter',
        expected: 'room:channel',
      });
    }
  }
  return { ...DEFAULTS, ...given };
}

/** The first given setting that differs from the group's; undefined when there is none. */
function differing(given: GivenSettings, group: GroupSettings): string | undefined {
  const names = Object.keys(given) as (keyof GroupSettings)[];
  return names.find((name) => JSON.stringify(given[name]) !== JSON.stringify(group[name]));
}

/** Throws CONFLICT that names the first given setting that differs from the group's. */
export function requireSame({ settings, room, channel, group }: GroupRecord, given: GivenSettings): void {
  const field = differing(given, settings);
  if (field === undefined) return;
  const message = `The group ${group} exists already with another "${field}"; delete it first, or use another name.`;
  throw new BusError('CONFLICT', message, { field, room, channel, group });
}

export function ledgerLimits(settings: GroupSettings): LedgerLimits {
  return {
    maxUnacked: settings.max_unacked,
    maxAttempts: settings.max_attempts,
    ackWaitMs: settings.ack_wait_seconds * 1000,
    backoffMs: settings.backoff_seconds.map((seconds) => seconds * 1000),
  };
}

/** The address of a group: its source and its name. */
export interface GroupPlace {
  readonly tenant: string;
  readonly room: string;
  /** A channel, `*` for the whole room, or a pattern. */
  readonly channel: string;
  readonly group: string;
}

/** A group as stored in the key-value store. */
export interface GroupRecord {
  readonly group_id: string;
  readonly room: string;
  readonly channel: string;
  readonly group: string;
  readonly settings: GroupSettings;
  readonly paused: boolean;
  /** The identity that created it, which may also delete it. */
  readonly owner: string;
  /** Milliseconds since 1970. */
  readonly created_at: number;
  /**
   * An internal group of this program: nobody else sees it, only members on the node that drives it get events, and
   * dead letters are kept without being published.
   */
  readonly isInternal?: true;
  /** The bus created it for a mailbox without a reader; the first reader takes it over and may change its settings. */
  readonly isImplied?: true;
  /** Start positions by channel; a stream that is not listed is read from its start. */
  readonly begin: Readonly<Record<string, Position>>;
}

/** The key of the group's record and state; no name contains a separator. */
export function groupKey({ room, channel, group }: Omit<GroupPlace, 'tenant'>): string {
  return `${room}:${channel}/${group}`;
}

/** Whether a group is the `inbox` that every mailbox has. */
export function isInbox({ room, group }: Pick<GroupRecord, 'room' | 'group'>): boolean {
  return room === MAIL_ROOM && group === INBOX;
}

/** Whether a group needs no driver while it is idle. */
export function mayRest({ room, settings, isInternal }: GroupRecord): boolean {
  return room === MAIL_ROOM && isInternal !== true && settings.expires_seconds === null;
}

/** Whether a group reads more than one stream. */
export function isWide(channel: string): boolean {
  return channel === WILDCARD || isChannelPattern(channel);
}

/** The stream of this name in a group: a channel of its room, or `room:channel` when it reads all rooms. */
export function streamOf({ tenant, room }: GroupPlace, name: string): StreamAddress {
  if (room !== WILDCARD) return { tenant, room, channel: name };
  const colon = name.indexOf(':');
  return { tenant, room: name.slice(0, colon), channel: name.slice(colon + 1) };
}

/** The name of a stream in a group. */
export function streamName({ room }: GroupPlace, stream: StreamAddress): string {
  return room === WILDCARD ? `${stream.room}:${stream.channel}` : stream.channel;
}

export function noSuchGroup({ room, channel, group }: Omit<GroupPlace, 'tenant'>): BusError {
  return new BusError('NOT_FOUND', `There is no group ${group} on ${room}:${channel}; group.create makes one.`, {
    room,
    channel,
    group,
  });
}
