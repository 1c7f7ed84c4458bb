import type { IncomingMessage } from 'node:http';
import type { Attached, Bus, CommandRunner } from '@arqonbus/bus';
import type { Config } from '../config/config.ts';
import type { Monitor } from '../telemetry/monitor.ts';
import { adminRoutes, type OnRestart } from './admin-routes.ts';
import { type App, type AppRules, createApp } from './app.ts';
import { batchRoutes } from './batch-routes.ts';
import { clientRoute } from './client-route.ts';
import { dashboardRoutes } from './dashboard-route.ts';
import { directoryRoutes } from './directory-routes.ts';
import { messageRoutes } from './message-routes.ts';
import { documentRoute } from './openapi.ts';
import { type Build, probeRoutes } from './probe-routes.ts';
import { publishRoutes } from './publish-routes.ts';
import type { AnyRoute } from './route.ts';
import { ruleRoutes } from './rule-routes.ts';
import { statusRoutes } from './status-routes.ts';
import type { Redact } from './storage-history.ts';
import { storageRoutes } from './storage-routes.ts';
import { streamRoutes } from './stream-routes.ts';
import { subjectRoutes } from './subject-routes.ts';
import { systemRoutes } from './system-routes.ts';
import { telemetryFigures, telemetryRoutes } from './telemetry-routes.ts';

export interface HttpParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly runner: CommandRunner;
  readonly monitor: Monitor;
  readonly build: Build;
  readonly isReady: () => boolean;
  /** The URLs of the listeners. */
  readonly endpoints: () => object;
  /** Counts the connections of all transports. */
  readonly attached: Pick<Attached, 'hold'>;
  readonly droppedEvents: () => number;
  readonly redact: Redact;
  readonly onShutdown: (() => void) | null;
  readonly onRestart: OnRestart | null;
}

/** The HTTP side of a server: all routes, and the rules for all requests. */
export function createHttpApp(
  parts: HttpParts,
  rules: Pick<AppRules, 'credentials' | 'checkOrigin' | 'allowsOrigin'>,
): App {
  const routes = [...allRoutes(parts), documentRoute(() => app, parts.bus.options.version)];
  const app: App = createApp(routes, appRules(parts, rules));
  return app;
}

type Rules = Pick<AppRules, 'credentials' | 'checkOrigin' | 'allowsOrigin'>;

/** The WebSocket replacement, served on the same address, so that clients need no other one. */
export function createFallbackApp(
  parts: Pick<HttpParts, 'bus' | 'config' | 'monitor' | 'attached'>,
  rules: Rules,
): App {
  return createApp([...streamRoutes(parts), clientRoute()], appRules(parts, rules));
}

const FALLBACK = /^\/(?:v1\/stream|v1\/sessions\/[^/?]+|client\.js)(?:\?|$)/;

/** Whether a request to the WebSocket listener is for {@link createFallbackApp}. */
export function isFallback({ url = '/' }: IncomingMessage): boolean {
  return FALLBACK.test(url);
}

function appRules({ bus, config, monitor }: Pick<HttpParts, 'bus' | 'config' | 'monitor'>, rules: Rules): AppRules {
  return {
    ...rules,
    corsOrigins: config.http.corsOrigins,
    maxBodyBytes: config.server.maxMessageSize,
    openMetrics: !config.http.metricsAuth,
    internal: (error) => bus.internal(error),
    onAnswered: (status) => monitor.answered(status),
    onFailed: (code) => bus.faults.failed(code),
  };
}

function allRoutes(parts: HttpParts): AnyRoute[] {
  const { bus, runner, config, monitor, endpoints, droppedEvents } = parts;
  const { feed, metrics, requests } = monitor;
  const clients = () => ({ clients: monitor.connections.telemetry(), dropped_total: droppedEvents() });
  const telemetry = { feed, clients };
  const publishing = { bus, runner, strict: config.server.strictEnvelope };
  const strictStorage = config.storage.mode === 'strict';
  const routes: AnyRoute[] = [
    ...probeRoutes({ ...parts, strictStorage }),
    ...statusRoutes({
      runner,
      metrics,
      endpoints,
      requests: () => requests,
      telemetry: (caller) => telemetryFigures(telemetry, caller),
    }),
    ...storageRoutes(bus, parts.redact),
    ...systemRoutes({ bus, config, endpoints, routes: () => routes.map(nameOf) }),
    ...telemetryRoutes(telemetry),
    ...publishRoutes(publishing),
    ...batchRoutes(publishing),
    ...messageRoutes(bus),
    ...streamRoutes(parts),
    ...directoryRoutes(bus),
    ...subjectRoutes(bus),
    ...ruleRoutes(publishing),
    clientRoute(),
    ...(config.http.dashboard ? dashboardRoutes() : []),
    ...adminRoutes(parts),
  ];
  return routes;
}

function nameOf({ method, path }: AnyRoute): string {
  return `${method.toUpperCase()} ${path}`;
}
