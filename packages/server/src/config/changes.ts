import type { Config } from './config.ts';
import type { Setting } from './setting.ts';
import { SETTINGS } from './settings.ts';

/**
 * How a changed setting takes effect in a running server: `now`, without interruption; `reopened`, by reopening the
 * listeners, to which clients reconnect automatically; `start`, only in a new process.
 */
export type Applied = 'now' | 'reopened' | 'start';

/** Settings by path, or whole sections (`casil.*`). Anything not listed needs a new process. */
export const APPLIED: Readonly<Record<string, Applied>> = {
  environment: 'now',
  'server.host': 'reopened',
  'server.port': 'reopened',
  'server.maxConnections': 'now',
  'server.maxConnectionsPerAddress': 'reopened',
  'server.maxConnectionsPerSubject': 'reopened',
  'server.maxMessageSize': 'reopened',
  'server.maxBacklogBytes': 'now',
  'server.maxMemoryBytes': 'now',
  'server.compression': 'reopened',
  'server.strictEnvelope': 'now',
  'server.shutdownSeconds': 'now',
  'server.drainSeconds': 'now',
  'server.allowedOrigins': 'now',
  'server.allowedHosts': 'now',
  'server.behindTlsProxy': 'now',
  'server.tlsCertFile': 'reopened',
  'server.tlsKeyFile': 'reopened',
  'bus.autoCreateChannels': 'now',
  'bus.channelIdleSeconds': 'now',
  'bus.presenceGraceSeconds': 'now',
  'bus.maxHops': 'now',
  'bus.publishRequiresJoin': 'now',
  'bus.maxSubscriptions': 'now',
  'bus.maxChannels': 'now',
  'bus.maxChannelsPerSubject': 'now',
  'bus.maxGroups': 'now',
  'bus.maxGroupsPerSubject': 'now',
  'bus.rateLimitPerSecond': 'now',
  'bus.rateLimitBurst': 'now',
  'bus.statsIntervalSeconds': 'now',
  rules: 'now',
  'auth.jwtSecret': 'now',
  'auth.jwtAlgorithm': 'now',
  'auth.jwksUrl': 'now',
  'auth.publicKeyFile': 'now',
  'auth.issuer': 'now',
  'auth.audience': 'now',
  'auth.cookie': 'now',
  'auth.anonymousRole': 'reopened',
  'auth.subjectRateLimitPerSecond': 'now',
  'storage.maxHistorySize': 'now',
  'storage.historyTtlSeconds': 'now',
  'storage.maxHistoryBytes': 'now',
  'telemetry.host': 'reopened',
  'telemetry.port': 'reopened',
  'telemetry.messageSampleRate': 'now',
  'http.host': 'reopened',
  'http.port': 'reopened',
  'http.apiKey': 'now',
  'http.corsOrigins': 'now',
  'http.metricsAuth': 'now',
  'http.dashboard': 'now',
  'log.level': 'now',
  'casil.*': 'now',
  'webhook.maxRules': 'now',
  'webhook.maxRulesPerSubject': 'now',
  'webhook.maxPostsPerHost': 'now',
  'cron.*': 'now',
  'store.*': 'now',
  'lease.*': 'now',
};

/** How a changed setting takes effect. */
export function appliedHow({ path, keys: [section] }: Pick<Setting, 'path' | 'keys'>): Applied {
  return APPLIED[path] ?? APPLIED[`${section}.*`] ?? 'start';
}

/** The differences between two configurations: paths of settings, never their values, by how they take effect. */
export function changesBetween(one: Config, other: Config): Record<Applied, readonly string[]> {
  const changes = { now: [], reopened: [], start: [] } as Record<Applied, string[]>;
  for (const setting of SETTINGS) {
    const [before, after] = [one, other].map((config) => JSON.stringify(settingIn(config, setting)));
    if (before !== after) changes[appliedHow(setting)].push(setting.path);
  }
  return changes;
}

/** `config` with the settings of `next` that take effect in one of these ways. */
export function withChanges(config: Config, next: Config, ways: readonly Applied[]): Config {
  const target = structuredClone(config) as unknown as Record<string, Record<string, unknown>>;
  for (const setting of SETTINGS) {
    if (!ways.includes(appliedHow(setting))) continue;
    const [section = '', name] = setting.keys;
    const value = settingIn(next, setting);
    if (name === undefined) (target as Record<string, unknown>)[section] = value;
    else target[section] = { ...target[section], [name]: value };
  }
  return target as unknown as Config;
}

function settingIn(config: Config, { keys: [section = '', name] }: Setting): unknown {
  const part = (config as unknown as Record<string, unknown>)[section];
  return name === undefined ? part : (part as Record<string, unknown>)[name];
}
