import type { Bus } from '@arqonbus/bus';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { redact } from '../config/redact.ts';
import { type AnyRoute, route } from './route.ts';

export interface SystemParts {
  readonly bus: Bus;
  readonly config: Config;
  readonly endpoints: () => object;
  /** The routes as `METHOD /path`. */
  readonly routes: () => readonly string[];
}

/** `/system/info` and `/system/config`. */
export function systemRoutes({ bus, config, endpoints, routes }: SystemParts): AnyRoute[] {
  return [
    route({
      method: 'get',
      path: '/system/info',
      tag: 'server',
      summary: "The server's version, capabilities and addresses.",
      access: 'operator',
      answer: z.object({
        name: z.string(),
        version: z.string(),
        node: z.string(),
        environment: z.string(),
        features: z.looseObject({}),
        limits: z.looseObject({}),
        endpoints: z.looseObject({}),
        routes: z.array(z.string()),
      }),
      run: () => ({
        name: 'ArqonBus',
        version: bus.options.version,
        node: bus.options.node,
        environment: config.environment,
        features: features(config),
        limits: limits(config),
        endpoints: endpoints(),
        routes: routes(),
      }),
    }),
    route({
      method: 'get',
      path: '/system/config',
      tag: 'server',
      summary: 'The configuration in force, secrets masked.',
      access: 'operator',
      answer: z.looseObject({}),
      run: () => redact(config),
    }),
  ];
}

function features({ auth, telemetry, casil, omega, server, storage, bus }: Config): object {
  return {
    authentication: auth.enabled,
    tls: server.tlsCertFile !== '',
    compression: server.compression,
    strict_envelope: server.strictEnvelope,
    auto_create_channels: bus.autoCreateChannels,
    telemetry: telemetry.enabled,
    casil: casil.enabled ? casil.mode : 'off',
    omega: omega.enabled,
    storage: { backend: storage.backend, mode: storage.mode },
  };
}

function limits({ server, bus, storage }: Config): object {
  return {
    max_connections: server.maxConnections,
    max_message_bytes: server.maxMessageSize,
    max_backlog_bytes: server.maxBacklogBytes,
    max_subscriptions: bus.maxSubscriptions,
    max_channels: bus.maxChannels,
    rate_limit_per_second: bus.rateLimitPerSecond,
    history_size: storage.maxHistorySize,
    history_ttl_seconds: storage.historyTtlSeconds,
  };
}
