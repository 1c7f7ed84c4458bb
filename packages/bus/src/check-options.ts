import { BusError, nearestNames } from '@arqonbus/protocol';

/** What a value must be, for the error message, and the check. */
type Kind = readonly [sentence: string, test: (value: unknown) => boolean];
type Fields = Readonly<Record<string, Kind>>;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const has = (value: unknown, ...methods: string[]): boolean =>
  isObject(value) && methods.every((name) => typeof value[name] === 'function');

const FUNCTION: Kind = ['a function', (value) => typeof value === 'function'];
const BOOLEAN: Kind = ['true or false', (value) => typeof value === 'boolean'];
const TEXT: Kind = ['a text', (value) => typeof value === 'string'];
const OBJECT: Kind = ['an object', isObject];
const LIST: Kind = ['an array', Array.isArray];
const TEXTS: Kind = [
  'an array of texts',
  (value) => Array.isArray(value) && value.every((one) => typeof one === 'string'),
];
/** `Infinity` means unlimited. */
const BOUND: Kind = ['a number of at least 0', (value) => typeof value === 'number' && value >= 0];
const LEFT_OUT: Kind = ['an object with its limits, or false', (value) => isObject(value) || value === false];

const CREATE: Fields = {
  engine: ['what memory() or loadEngine() answers', (value) => has(value, 'open', 'close')],
  authenticate: FUNCTION,
  refresh: FUNCTION,
  authorize: FUNCTION,
  hooks: OBJECT,
  rules: LIST,
  limits: OBJECT,
  operators: OBJECT,
  commands: FUNCTION,
  startDegraded: BOOLEAN,
  onFault: FUNCTION,
};

const HOOKS: Fields = {
  publish: [
    'an array of functions, with at most one content policy',
    (value) =>
      Array.isArray(value) &&
      value.every((hook) => typeof hook === 'function' || has(hook, 'enabledFor', 'inspect', 'shown')),
  ],
  joined: FUNCTION,
  left: FUNCTION,
  http: OBJECT,
};

const HTTP_HOOKS: Fields = {
  connectUrl: ['a URL that starts with http:// or https://', (value) => typeof value === 'string' && isHttp(value)],
  connectOnFailure: ['"deny" or "allow"', (value) => value === 'deny' || value === 'allow'],
  secret: TEXT,
  timeoutMs: BOUND,
  allowHosts: TEXTS,
  resolve: FUNCTION,
  clock: OBJECT,
};

const OPERATORS: Fields = { store: LEFT_OUT, lease: LEFT_OUT, cron: LEFT_OUT, webhook: LEFT_OUT, omega: LEFT_OUT };

const LIMITS: Fields = {
  ...Object.fromEntries(
    [
      'maxConnections',
      'maxConnectionsPerAddress',
      'maxConnectionsPerSubject',
      'maxMessageBytes',
      'maxBacklogBytes',
      'maxSubscriptions',
      'maxChannels',
      'maxChannelsPerSubject',
      'maxGroups',
      'maxGroupsPerSubject',
      'maxMemoryBytes',
      'maxWaitsPerClient',
      'maxWaits',
      'maxHops',
      'rateLimitPerSecond',
      'rateLimitBurst',
      'subjectRateLimitPerSecond',
      'channelIdleMs',
      'presenceGraceMs',
      'pingIntervalMs',
    ].map((name) => [name, BOUND]),
  ),
  node: TEXT,
  version: TEXT,
  telemetryRoom: TEXT,
  serverTenant: ['a text or null', (value) => value === null || typeof value === 'string'],
  retention: OBJECT,
  bootstrapRooms: OBJECT,
  clock: OBJECT,
  rules: LIST,
  autoCreateChannels: BOOLEAN,
  publishRequiresJoin: BOOLEAN,
  strictEnvelope: BOOLEAN,
  compression: BOOLEAN,
  telemetry: BOOLEAN,
  authorize: FUNCTION,
  httpUrl: FUNCTION,
  now: FUNCTION,
  onFault: FUNCTION,
  onWarning: FUNCTION,
};

const ATTACH: Fields = {
  path: TEXT,
  allowedOrigins: TEXTS,
  allowedHosts: TEXTS,
  onLoopback: BOOLEAN,
  gate: OBJECT,
};

const SUBSCRIBE: Fields = { tenant: TEXT };

/** Throws VALIDATION_ERROR for unknown or invalid options of `createBus()`. */
export function checkCreateOptions(given: unknown): void {
  if (!isObject(given)) throw invalid('options', 'createBus() takes an object of options, or nothing.');
  check(given, CREATE, 'createBus()', '');
  const { hooks = {}, limits = {}, operators = {} } = given as Record<string, Record<string, unknown>>;
  check(hooks, HOOKS, 'createBus()', 'hooks.');
  check((hooks.http ?? {}) as Record<string, unknown>, HTTP_HOOKS, 'createBus()', 'hooks.http.');
  check(limits, LIMITS, 'createBus()', 'limits.');
  check(operators, OPERATORS, 'createBus()', 'operators.');
}

/** The same for `attach()`; also rejects objects that are not servers, which would never pass on an upgrade. */
export function checkAttach(server: unknown, options: unknown): void {
  if (!has(server, 'on', 'off', 'emit', 'listeners')) {
    throw invalid(
      'server',
      'attach() takes a server of node:http or node:https: what app.listen() of Express returns, or app.server of Fastify.',
    );
  }
  if (!isObject(options)) throw invalid('options', 'attach() takes an object of options as its second argument.');
  check(options, ATTACH, 'attach()', '');
}

/** The same for `subscribe()`. */
export function checkSubscribe(handler: unknown, options: unknown): void {
  requireFunction(handler, 'handler', 'subscribe()');
  if (!isObject(options)) throw invalid('options', 'subscribe() takes an object of options as its third argument.');
  check(options, SUBSCRIBE, 'subscribe()', '');
}

/** Throws VALIDATION_ERROR for a callback that is not a function. */
export function requireFunction(value: unknown, name: string, call: string): void {
  if (typeof value !== 'function') throw invalid(name, `${call} takes a function as "${name}".`);
}

/** Throws VALIDATION_ERROR for an unknown option or one of the wrong type. */
function check(given: Readonly<Record<string, unknown>>, fields: Fields, call: string, before: string): void {
  for (const [name, value] of Object.entries(given)) {
    const field = `${before}${name}`.slice(0, 140);
    const kind = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (kind === undefined) {
      const [near] = nearestNames(name, Object.keys(fields));
      const hint = near === undefined ? '' : `; did you mean "${before}${near}"?`;
      throw invalid(field, `"${field}" is not an option of ${call}${hint === '' ? '.' : hint}`);
    }
    const [sentence, test] = kind;
    if (value !== undefined && !test(value)) throw invalid(field, `"${field}" of ${call} has to be ${sentence}.`);
  }
}

function isHttp(url: string): boolean {
  return URL.canParse(url) && /^https?:$/.test(new URL(url).protocol);
}

function invalid(field: string, sentence: string): BusError {
  return new BusError('VALIDATION_ERROR', sentence, { field });
}
