import { readFileSync } from 'node:fs';
import type { Server as HttpServer, RequestListener } from 'node:http';
import { createSecureContext } from 'node:tls';
import {
  type Attached,
  anonymousPrincipal,
  anonymousRole,
  type Bus,
  createUpgradeServer,
  Gate,
  type Listening,
  listen,
  type Refused,
  stop,
  type Tls,
} from '@arqonbus/bus';
import { createApiKeyCheck } from './auth/api-key.ts';
import { extractToken, tokenFromCookie } from './auth/credentials.ts';
import { createVerifier, type Verifier } from './auth/verifier.ts';
import type { Config } from './config/config.ts';
import { isLoopbackHost, onLoopbackOnly } from './config/listeners.ts';
import type { AppRules } from './http/app.ts';
import { Credentials } from './http/credentials.ts';
import { HttpRates } from './http/rates.ts';
import { createFallbackApp, createHttpApp, isFallback } from './http/routes.ts';
import { closeAppServer, createAppServer, listenerOf } from './http/server.ts';
import type { Redact } from './http/storage-history.ts';
import type { Logger } from './log.ts';
import type { Monitor } from './telemetry/monitor.ts';
import { TelemetryServer } from './telemetry/telemetry.ts';

/** Where a started server can be reached; null for a listener that is off. */
export interface Addresses {
  readonly bus: Listening;
  readonly telemetry: Listening | null;
  readonly http: Listening | null;
}

interface Urls {
  readonly websocket: string | null;
  readonly telemetry: string | null;
  readonly http: string | null;
}

/** The listeners of a server. They can be closed and opened anew while the bus goes on. */
export interface Edge {
  readonly addresses: Addresses;
  /** The judge of tokens; null while authentication is off. */
  readonly verifier: Verifier | null;
  /** The same as URLs. */
  readonly urls: Urls;
  /** Takes no more clients; those that are there stay. */
  leave(): void;
  close(): Promise<void>;
}

export interface EdgeParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly monitor: Monitor;
  readonly log: Logger;
  /** A server of the embedding program that the bus takes upgrades from; it is neither opened nor closed here. */
  readonly httpServer?: HttpServer | undefined;
  /** What may be shown of stored payloads; all of it without. */
  readonly redact?: Redact;
  /** Somebody asked over HTTP for a graceful stop, or for the configuration to be read again. */
  readonly onShutdown?: (() => void) | undefined;
  readonly onRestart?: (() => void) | undefined;
}

/** How much may wait for a slow telemetry client: twice what the largest replay sends. */
const TELEMETRY_QUEUE = { maxQueuedEvents: 2_000, maxQueuedCharacters: 16 * 1_048_576 };

/** Opens all listeners; when one cannot be opened none stays open. */
export async function openEdge(parts: EdgeParts): Promise<Edge> {
  const edge = new Listeners(parts);
  try {
    await edge.open();
    return edge;
  } catch (error) {
    await edge.close();
    throw error;
  }
}

class Listeners implements Edge {
  private readonly parts: EdgeParts;
  private readonly tls: Tls | null;
  /** What is open, in the order opened. */
  private readonly closing: (() => Promise<void>)[] = [];
  verifier: Verifier | null = null;
  private readonly opened: { bus: Listening | null; telemetry: Listening | null; http: Listening | null };
  private isOpen = false;
  private attached: Attached | null = null;

  constructor(parts: EdgeParts) {
    this.parts = parts;
    this.tls = readTls(parts.config);
    this.opened = { bus: null, telemetry: null, http: null };
  }

  get addresses(): Addresses {
    const { bus, ...others } = this.opened;
    if (bus === null) throw new Error('the listeners are not open');
    return { bus, ...others };
  }

  async open(): Promise<void> {
    const { config, monitor } = this.parts;
    const { auth, telemetry, http } = config;
    if (auth.enabled) this.verifier = await createVerifier(auth);
    const attached = await this.openBus();
    const watching = telemetry.enabled && telemetry.port !== 'off' ? await this.openTelemetry(telemetry.port) : null;
    monitor.connections = {
      websocket: () => attached.connections,
      telemetry: () => watching?.size ?? 0,
      dropped: () => watching?.dropped ?? 0,
    };
    if (http.port !== 'off') await this.openHttp(http.port, attached, () => watching?.dropped ?? 0);
    this.isOpen = true;
  }

  leave(): void {
    this.isOpen = false;
  }

  async close(): Promise<void> {
    this.isOpen = false;
    this.attached?.detach();
    await Promise.all(this.closing.map((close) => close()));
  }

  private async openBus(): Promise<Attached> {
    const { httpServer: host, bus, config } = this.parts;
    const { server } = config;
    const gate = this.gate(server.host);
    let serve: RequestListener | undefined;
    const httpServer = host ?? createUpgradeServer(this.tls, (request) => (isFallback(request) ? serve : undefined));
    const attached = bus.attach(httpServer, { gate });
    this.attached = attached;
    serve = listenerOf(createFallbackApp({ ...this.parts, attached }, this.rules(gate)));
    if (host !== undefined) {
      this.closing.push(async () => attached.detach());
      this.opened.bus = addressOf(host);
      return attached;
    }
    this.opened.bus = await listen(httpServer, server.host, server.port);
    this.closing.push(() => stop(httpServer));
    return attached;
  }

  private async openTelemetry(port: number): Promise<TelemetryServer> {
    const { bus, monitor, config } = this.parts;
    const { host } = config.telemetry;
    const options = { ...this.limits(), ...TELEMETRY_QUEUE, gate: this.gate(host) };
    const watching = new TelemetryServer(bus, monitor.feed, options);
    const httpServer = createUpgradeServer(this.tls);
    watching.listenTo(httpServer);
    this.opened.telemetry = await listen(httpServer, host, port);
    this.closing.push(() => {
      watching.close();
      return stop(httpServer);
    });
    return watching;
  }

  private async openHttp(port: number, attached: Attached, droppedEvents: () => number): Promise<void> {
    const { bus, config, redact = (_room, _channel, content) => content, onShutdown, onRestart } = this.parts;
    const { host, corsOrigins } = config.http;
    const gate = this.gate(host, corsOrigins);
    const app = createHttpApp(
      {
        ...this.parts,
        runner: bus.runner,
        build: readBuild(process.env),
        isReady: () => this.isOpen,
        endpoints: () => this.urls,
        attached,
        droppedEvents,
        redact,
        onShutdown: onShutdown ?? null,
        onRestart: onRestart ?? null,
      },
      this.rules(gate),
    );
    const httpServer = createAppServer(app, this.tls);
    this.opened.http = await listen(httpServer, host, port);
    this.closing.push(() => closeAppServer(httpServer));
  }

  /** Who may ask, at a listener behind this gate. */
  private rules(gate: Gate): Pick<AppRules, 'credentials' | 'checkOrigin' | 'allowsOrigin'> {
    return {
      credentials: this.credentials(this.rates()),
      checkOrigin: (request) => gate.checkOrigin(request)?.details ?? null,
      allowsOrigin: (request) => gate.allowsOrigin(request),
    };
  }

  private limits() {
    const { bus, config } = this.parts;
    const { heartbeat } = bus;
    return { ...config.server, ...config.bus, maxMessageBytes: config.server.maxMessageSize, heartbeat };
  }

  /** Who may come in at a listener on `host`. */
  private gate(host: string, alsoAllowed: readonly string[] = []): Gate {
    const { config } = this.parts;
    const { server, auth } = config;
    const { verifier } = this;
    const isLocal = onLoopbackOnly(config);
    return new Gate({
      authenticate:
        verifier === null
          ? null
          : ({ headers, url = '/' }) =>
              // The origin has been checked before.
              verifier.verify(extractToken(headers, url) ?? tokenFromCookie(headers, auth.cookie)),
      anonymous: anonymousPrincipal(anonymousRole(auth.anonymousRole, isLocal), isLocal),
      listeningOnLoopback: isLoopbackHost(host),
      allowedOrigins: [...server.allowedOrigins, ...alsoAllowed],
      allowedHosts: server.allowedHosts,
      onRefused: (refused, address) => this.refused(refused, address),
    });
  }

  /** HTTP callers are held to the rates of the bus, and share those of their subjects' connections. */
  private rates(): HttpRates {
    const { bus, config } = this.parts;
    return new HttpRates({
      ratePerSecond: config.bus.rateLimitPerSecond,
      burst: config.bus.rateLimitBurst,
      subjects: config.auth.subjectRateLimitPerSecond > 0 ? bus.rates.subjects : null,
      now: () => performance.now(),
      onExceeded: ({ subject, tenant }, address) => {
        bus.faults.rateLimited += 1;
        bus.events.emit('rate_limited', tenant, { subject, address }, 'warning');
      },
    });
  }

  private credentials(rates: HttpRates): Credentials {
    const { bus, config } = this.parts;
    const { auth, http } = config;
    const isLocal = http.apiKey === '' && !auth.enabled && isLoopbackHost(http.host);
    return new Credentials({
      checkApiKey: createApiKeyCheck(http.apiKey),
      hasApiKey: http.apiKey !== '',
      verifier: this.verifier,
      cookie: auth.cookie,
      rates,
      requireWelcome: (principal) => bus.requireWelcome(principal),
      local: isLocal ? anonymousPrincipal(anonymousRole(auth.anonymousRole, true), onLoopbackOnly(config)) : null,
      onRefused: (refused, address) => this.refused(refused, address),
    });
  }

  private refused({ status, details, internal }: Omit<Refused, 'ok'>, address: string): void {
    const { bus, log } = this.parts;
    const isTold = bus.events.emit('auth_failed', null, { status, reason: details, address }, 'warning');
    if (isTold) log.warn({ status, details, internal, address }, 'request refused');
  }

  get urls(): Urls {
    const { bus, telemetry, http } = this.opened;
    const secure = this.tls === null ? '' : 's';
    const url = (scheme: string, at: Listening | null): string | null =>
      at === null ? null : `${scheme}${secure}://${at.host.includes(':') ? `[${at.host}]` : at.host}:${at.port}`;
    return { websocket: url('ws', bus), telemetry: url('ws', telemetry), http: url('http', http) };
  }
}

/** Where somebody else's server listens; it may not yet. */
function addressOf(server: HttpServer): Listening {
  const at = server.address();
  return typeof at === 'object' && at !== null ? { host: at.address, port: at.port } : { host: '', port: 0 };
}

/** The certificate and its key; throws one sentence that names the setting at fault. */
function readTls({ server }: Config): Tls | null {
  if (server.tlsCertFile === '') return null;
  const tls = {
    cert: readPem('ARQONBUS_TLS_CERT_FILE', server.tlsCertFile),
    key: readPem('ARQONBUS_TLS_KEY_FILE', server.tlsKeyFile),
  };
  try {
    createSecureContext(tls);
  } catch {
    throw new Error('ARQONBUS_TLS_CERT_FILE and ARQONBUS_TLS_KEY_FILE hold no certificate with its key in PEM.');
  }
  return tls;
}

function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`${setting}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code}).`);
  }
}

/** What the build wrote into the environment, for `/version`. */
function readBuild(env: NodeJS.ProcessEnv): { git_commit: string | null; build_date: string | null } {
  return { git_commit: env.ARQONBUS_BUILD_COMMIT ?? null, build_date: env.ARQONBUS_BUILD_DATE ?? null };
}
