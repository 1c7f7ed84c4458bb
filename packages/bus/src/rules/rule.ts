import {
  BusError,
  type ChannelRule,
  isChannelName,
  isChannelPattern,
  isRoomName,
  MAIL_ROOM,
  nearestNames,
  WILDCARD,
} from '@arqonbus/protocol';
import { z } from 'zod';
import { OBJECT } from '../schemas/fields.ts';
import { faultOf, plainProblem } from '../schemas/problem.ts';

/** Rules of one tenant. */
export const MAX_RULES = 500;
/** The most faults listed in one error. */
const MAX_FAULTS = 20;
const MAX_HISTORY = 100_000;
const MAX_SECONDS = 31_536_000;
const MAX_DEDUPE_SECONDS = 86_400;

/** Suggests the closest field name for an unknown one. */
const STRICT = {
  error: (issue: { readonly code?: string; readonly keys?: unknown }): string | undefined => {
    if (issue.code !== 'unrecognized_keys') return undefined;
    const [unknown] = issue.keys as string[];
    const [nearest] = nearestNames(unknown ?? '', KNOWN);
    return nearest === undefined ? 'there is no such field' : `there is no such field; did you mean "${nearest}"?`;
  },
};

const MATCH = z
  .string()
  .max(260)
  .refine(isMatch, 'must be "room:channel", where each part is a name, "*" or a pattern like orders.* or orders.>')
  .describe(
    'A `room:channel` pattern: `*` is one segment between `.` or `/` (alone: all), a last `>` the rest. `@:NAME` and `@:*` are mailboxes.',
  );

const HOOK = z
  .strictObject(
    {
      on: z
        .array(z.enum(['join', 'publish']))
        .min(1)
        .max(2)
        .describe('The actions about which the backend is asked.'),
      url: z
        .string()
        .regex(/^https?:\/\/[^\s/]/, 'is a URL that starts with http:// or https://')
        .max(2_048)
        .describe('The URL to which the request is posted.'),
      timeout_ms: z.int().min(10).max(10_000).describe('Default: 500.').exactOptional(),
      on_failure: z
        .enum(['deny', 'allow'])
        .describe('The result if it does not answer. Default: deny.')
        .exactOptional(),
      cache_seconds: z
        .number()
        .min(0)
        .max(3_600)
        .describe('How long an answer to a join is cached. Default: 0.')
        .exactOptional(),
      secret: z.string().min(1).max(256).meta({ secret: true }).describe('Signs the request.').exactOptional(),
    },
    STRICT,
  )
  .meta({ description: 'Asks a backend beforehand.' });

const SCHEMA = z
  .strictObject(
    {
      schema: z.union([OBJECT, z.boolean()]).describe('A JSON Schema (2020-12) of the payload.'),
      mode: z.enum(['warn', 'enforce']).describe('Only report, or refuse with SCHEMA_MISMATCH.'),
    },
    STRICT,
  )
  .meta({ description: "The JSON Schema of the channel's payloads." });

/** A rule as written: its match pattern and settings. */
export type Rule = ChannelRule;

/** The settings of a rule; missing ones come from less specific rules and the configuration. */
export type RuleSettings = Omit<Rule, 'match'>;

/** The backend to call beforehand, and the result if it does not answer. */
export type HookSettings = NonNullable<Rule['hook']>;

/** The names of a rule's settings. */
export type RuleField = keyof RuleSettings;

const FIELDS = {
  history: z
    .strictObject(
      {
        size: z.int().min(0).max(MAX_HISTORY).describe('Envelopes.').exactOptional(),
        bytes: z.int().min(0).max(1_073_741_824).describe('Total UTF-8 bytes.').exactOptional(),
        ttl_seconds: z.int().min(1).max(MAX_SECONDS).exactOptional(),
      },
      STRICT,
    )
    .describe('How much is kept.')
    .exactOptional(),
  retain_last: z.boolean().describe('Keep the last event without time limit, for joins with `last`.').exactOptional(),
  auto_create: z.boolean().describe('Whether a join or an event creates the channel.').exactOptional(),
  publish: z
    .enum(['granted', 'members', 'nobody'])
    .describe('Who may publish: clients whose grants allow it, only members, or only the server and its HTTP keys.')
    .exactOptional(),
  presence: z.boolean().describe('`true` forces it on, `false` forbids it.').exactOptional(),
  echo: z.boolean().describe('`true` forces it on, `false` forbids it.').exactOptional(),
  ephemeral: z.boolean().describe('Live only: `true` forces it on, `false` forbids it.').exactOptional(),
  max_message_bytes: z.int().min(1).max(67_108_864).describe('UTF-8 bytes of a payload.').exactOptional(),
  rate_per_second: z.number().min(0.01).max(1_000_000).describe('Events of one sender in one channel.').exactOptional(),
  dedupe_seconds: z
    .number()
    .min(0)
    .max(MAX_DEDUPE_SECONDS)
    .describe('How long an id is remembered as sent.')
    .exactOptional(),
  schema: SCHEMA.exactOptional(),
  casil: z.enum(['off', 'monitor', 'enforce']).describe('The mode of content inspection.').exactOptional(),
  idle_seconds: z
    .number()
    .min(1)
    .max(MAX_SECONDS)
    .describe('Time without members and traffic after which the channel leaves the lists.')
    .exactOptional(),
  keep_for_groups: z
    .boolean()
    .describe('Only bytes limit what is kept, not count or age, so that groups may be behind.')
    .exactOptional(),
  max_hops: z.int().min(1).max(1_000).describe('Longest chain of causes.').exactOptional(),
  hook: HOOK.exactOptional(),
} as const;

/** A rule's settings without its match pattern. */
export const RULE_SETTINGS: z.ZodType<RuleSettings> = z.strictObject(FIELDS, STRICT);

/** One rule: its match pattern and settings. */
export const RULE: z.ZodType<Rule> = z
  .strictObject({ match: MATCH, ...FIELDS }, STRICT)
  .superRefine((rule, context) => {
    if (!isMailMatch(rule.match)) return;
    for (const field of RULE_FIELDS) {
      if (field === 'history' || rule[field] === undefined) continue;
      const message = 'a rule for mailboxes settles "history" alone; leave this out, or match other channels';
      context.addIssue({ code: 'custom', path: [field], message });
    }
  })
  .meta({ id: 'ChannelRule' });

export const RULES: z.ZodType<Rule[]> = z.array(RULE).max(MAX_RULES);

export const RULE_FIELDS: readonly RuleField[] = Object.keys(FIELDS) as RuleField[];

/** All field names of rules, for suggestions. */
const KNOWN: readonly string[] = [
  'match',
  ...RULE_FIELDS,
  ...Object.keys(FIELDS.history.unwrap().shape),
  ...Object.keys(HOOK.shape),
  ...Object.keys(SCHEMA.shape),
];

/**
 * Parses a list of rules. Throws VALIDATION_ERROR with the path of the first fault, like `rules.2.history.size`, the
 * closest known field for an unknown one, and at most 20 faults in `faults`.
 */
export function parseRules(given: unknown): Rule[] {
  const checked = RULES.safeParse(given, { error: plainProblem });
  if (checked.success) return checked.data;
  const faults = checked.error.issues
    .slice(0, MAX_FAULTS)
    .map(faultOf)
    .map(({ path, problem }) => ({ field: ['rules', ...path.map(String)].join('.'), problem }));
  const [first] = faults;
  throw new BusError('VALIDATION_ERROR', `${first?.field}: ${first?.problem}`, { field: first?.field, faults });
}

/** Placeholder for a stored secret. */
const HIDDEN = '***';

/** Rules with their secrets hidden. */
export function hideSecrets(rules: readonly Rule[]): Rule[] {
  return rules.map((rule) =>
    rule.hook?.secret === undefined ? rule : { ...rule, hook: { ...rule.hook, secret: HIDDEN } },
  );
}

/** Restores hidden secrets, from the known rule with the same `match` and `hook.url`. */
export function keepSecrets(given: readonly unknown[], known: readonly Rule[]): unknown[] {
  return given.map((one) => {
    const { match, hook } = (one ?? {}) as Partial<Rule>;
    if (hook?.secret !== HIDDEN) return one;
    const secret = known.find((rule) => rule.match === match && rule.hook?.url === hook.url)?.hook?.secret;
    return secret === undefined ? one : { ...(one as Rule), hook: { ...hook, secret } };
  });
}

/** Whether a rule is for mailboxes; other rules never match them. */
export function isMailMatch(match: string): boolean {
  return match.startsWith(`${MAIL_ROOM}:`);
}

function isMatch(text: string): boolean {
  const [room = '', channel, ...more] = text.split(':');
  if (channel === undefined || more.length > 0) return false;
  const isRoom =
    room === WILDCARD || room === MAIL_ROOM || isRoomName(room) || (isChannelPattern(room) && !room.includes('/'));
  return isRoom && (channel === WILDCARD || isChannelName(channel) || isChannelPattern(channel));
}
