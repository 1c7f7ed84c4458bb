import { readFileSync } from 'node:fs';
import type { Server as HttpServer, IncomingMessage, RequestListener } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
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
  PortTakenError,
  type Refused,
  stop,
  type Tls,
} from '@arqonbus/bus';
import { createApiKeyCheck } from './auth/api-key.ts';
import { extractToken, tokenFromCookie } from './auth/credentials.ts';
import { createVerifier, type Verification, type Verifier } from './auth/verifier.ts';
import type { Config } from './config/config.ts';
import { isLoopbackHost, onLoopbackOnly } from './config/listeners.ts';
import type { OnRestart } from './http/admin-routes.ts';
import type { AppRules } from './http/app.ts';
import { Credentials } from './http/credentials.ts';
import { HttpRates } from './http/rates.ts';
import { createFallbackApp, createHttpApp, isFallback } from './http/routes.ts';
import { closeAppServer, createAppServer, listenerOf } from './http/server.ts';
import type { Redact } from './http/storage-history.ts';
import type { Logger } from './log.ts';
import type { Monitor } from './telemetry/monitor.ts';
import { TelemetryServer } from './telemetry/telemetry.ts';

/** The addresses of a started server; null for a listener that is off. */
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

/** The listeners of a server. They can be closed and reopened while the bus keeps running. */
export interface Edge {
  readonly addresses: Addresses;
  /** Verifies tokens; null if authentication is off. */
  readonly verifier: Verifier | null;
  /**
   * Switches to a configuration with the same listeners, without interruption: its keys, certificates, origins and
   * routes apply from the next request and handshake.
   */
  adopt(config: Config, credentials: EdgeCredentials): void;
  /** The addresses as URLs. */
  readonly urls: Urls;
  /** Marks the server not ready: new clients are refused. With `unlisten`, the listening sockets are closed as well. */
  leave(options?: { readonly unlisten: boolean }): void;
  close(): Promise<void>;
}

/** Files named by the configuration, loaded. */
export interface EdgeCredentials {
  /** Null: authentication is off. */
  readonly verifier: Verifier | null;
  /** Null: no TLS. */
  readonly tls: Tls | null;
}

/** Reads the keys and certificates named by the configuration; rejects with one sentence that names the setting. */
export async function readCredentials(config: Config): Promise<EdgeCredentials> {
  const { auth } = config;
  return { verifier: auth.enabled ? await createVerifier(auth) : null, tls: readTls(config) };
}

export interface EdgeParts {
  readonly config: Config;
  readonly bus: Bus;
  readonly monitor: Monitor;
  readonly log: Logger;
  /** A server of the embedding program whose upgrades the bus handles; not opened or closed here. */
  readonly httpServer?: HttpServer | undefined;
  /** Redacts stored payloads before they are shown; default: no redaction. */
  readonly redact?: Redact;
  /** Called when a graceful stop, or a configuration reload, is requested over HTTP. */
  readonly onShutdown?: (() => void) | undefined;
  readonly onRestart?: OnRestart | undefined;
  /** Use the next free port when the default telemetry or HTTP port is taken. */
  readonly mayMove?: MayMove | undefined;
  readonly movedTo?: MovedTo | undefined;
}

/** Ports that replace the configured ones. */
export interface MovedTo {
  readonly telemetry?: number;
  readonly http?: number;
}

/** Listeners that may use another port, because theirs was not set explicitly. */
export interface MayMove {
  readonly telemetry: boolean;
  readonly http: boolean;
}

/** Queue limits for a slow telemetry client: twice the largest replay. */
const TELEMETRY_QUEUE = { maxQueuedEvents: 2_000, maxQueuedCharacters: 16 * 1_048_576 };

/** Opens all listeners; if one fails, closes the others. */
export async function openEdge(parts: EdgeParts): Promise<Edge> {
  const edge = new Listeners(parts, await readCredentials(parts.config));
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
  private config: Config;
  private tls: Tls | null;
  /** Close functions, in the order the listeners were opened. */
  private readonly closing: (() => Promise<void>)[] = [];
  private readonly listening: HttpServer[] = [];
  verifier: Verifier | null;
  /** Rebuild the HTTP request handlers from the current configuration. */
  private readonly renewals: (() => void)[] = [];
  private readonly opened: { bus: Listening | null; telemetry: Listening | null; http: Listening | null };
  private isOpen = false;
  private attached: Attached | null = null;

  constructor(parts: EdgeParts, { verifier, tls }: EdgeCredentials) {
    this.parts = parts;
    this.config = parts.config;
    this.verifier = verifier;
    this.tls = tls;
    this.opened = { bus: null, telemetry: null, http: null };
  }

  get addresses(): Addresses {
    const { bus, ...others } = this.opened;
    if (bus === null) throw new Error('the listeners are not open');
    return { bus, ...others };
  }

  async open(): Promise<void> {
    const { monitor } = this.parts;
    const { telemetry, http } = this.config;
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

  adopt(config: Config, { verifier, tls }: EdgeCredentials): void {
    this.config = config;
    this.verifier = verifier;
    const hadTls = this.tls !== null;
    if (hadTls) this.tls = tls;
    for (const server of this.listening) {
      if (tls !== null && hadTls) (server as HttpsServer).setSecureContext(tls);
    }
    for (const renew of this.renewals) renew();
  }

  leave({ unlisten }: { readonly unlisten: boolean } = { unlisten: false }): void {
    this.isOpen = false;
    if (unlisten) for (const server of this.listening.splice(0)) server.close();
  }

  async close(): Promise<void> {
    this.isOpen = false;
    this.attached?.detach();
    await Promise.all(this.closing.map((close) => close()));
  }

  private async openBus(): Promise<Attached> {
    const { httpServer: host, bus } = this.parts;
    const { server } = this.config;
    const gate = this.gate(server.host);
    let serve: RequestListener | undefined;
    const httpServer = host ?? createUpgradeServer(this.tls, (request) => (isFallback(request) ? serve : undefined));
    const attached = bus.attach(httpServer, { gate });
    this.attached = attached;
    this.renewals.push(() => {
      const parts = { ...this.parts, config: this.config, attached };
      serve = listenerOf(createFallbackApp(parts, this.rules(gate)));
    });
    for (const renew of this.renewals) renew();
    if (host !== undefined) {
      this.closing.push(async () => attached.detach());
      this.opened.bus = addressOf(host);
      return attached;
    }
    this.opened.bus = await listen(httpServer, server.host, server.port);
    this.listening.push(httpServer);
    this.closing.push(() => stop(httpServer));
    return attached;
  }

  private async openTelemetry(port: number): Promise<TelemetryServer> {
    const { bus, monitor, mayMove, movedTo } = this.parts;
    const { host } = this.config.telemetry;
    const options = { ...this.limits(), ...TELEMETRY_QUEUE, gate: this.gate(host) };
    const watching = new TelemetryServer(bus, monitor.feed, options);
    const httpServer = createUpgradeServer(this.tls);
    watching.listenTo(httpServer);
    this.opened.telemetry = await listenNear(httpServer, host, movedTo?.telemetry ?? port, mayMove?.telemetry === true);
    this.listening.push(httpServer);
    this.closing.push(() => {
      watching.close();
      return stop(httpServer);
    });
    return watching;
  }

  private async openHttp(port: number, attached: Attached, droppedEvents: () => number): Promise<void> {
    const { host } = this.config.http;
    const { mayMove, movedTo } = this.parts;
    let serve = this.httpListener(attached, droppedEvents);
    this.renewals.push(() => {
      serve = this.httpListener(attached, droppedEvents);
    });
    const httpServer = createAppServer((request, response) => serve(request, response), this.tls);
    this.opened.http = await listenNear(httpServer, host, movedTo?.http ?? port, mayMove?.http === true);
    this.listening.push(httpServer);
    this.closing.push(() => closeAppServer(httpServer));
  }

  private httpListener(attached: Attached, droppedEvents: () => number): RequestListener {
    const { bus, redact = (_room, _channel, content) => content, onShutdown, onRestart } = this.parts;
    const { host } = this.config.http;
    const gate = this.gate(host, () => this.config.http.corsOrigins);
    const app = createHttpApp(
      {
        ...this.parts,
        config: this.config,
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
    return listenerOf(app);
  }

  /** Access rules of a listener behind this gate. */
  private rules(gate: Gate): Pick<AppRules, 'credentials' | 'checkOrigin' | 'allowsOrigin'> {
    return {
      credentials: this.credentials(this.rates()),
      checkOrigin: (request) => gate.checkOrigin(request)?.details ?? null,
      allowsOrigin: (request) => gate.allowsOrigin(request),
    };
  }

  private limits() {
    const { heartbeat } = this.parts.bus;
    const { server, bus } = this.config;
    return { ...server, ...bus, maxMessageBytes: server.maxMessageSize, heartbeat };
  }

  /** The access rules of a listener on `host`; reads the current configuration on every handshake. */
  private gate(host: string, alsoAllowed: () => readonly string[] = () => []): Gate {
    const isLocal = onLoopbackOnly(this.config);
    // The gate checks the origin before it authenticates.
    const authenticate = ({ headers, url = '/' }: IncomingMessage): Promise<Verification> =>
      (this.verifier as Verifier).verify(
        extractToken(headers, url) ?? tokenFromCookie(headers, this.config.auth.cookie),
      );
    const allowedOrigins = (): readonly string[] => [...this.config.server.allowedOrigins, ...alsoAllowed()];
    const allowedHosts = (): readonly string[] => this.config.server.allowedHosts;
    return new Gate({
      authenticate: this.verifier === null ? null : authenticate,
      anonymous: anonymousPrincipal(anonymousRole(this.config.auth.anonymousRole, isLocal), isLocal),
      listeningOnLoopback: isLoopbackHost(host),
      get allowedOrigins() {
        return allowedOrigins();
      },
      get allowedHosts() {
        return allowedHosts();
      },
      onRefused: (refused, address) => this.refused(refused, address),
    });
  }

  /** HTTP requests have the rate limits of the bus, and share the per-subject limit with connections. */
  private rates(): HttpRates {
    const { config } = this;
    const { bus } = this.parts;
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
    const { config } = this;
    const { bus } = this.parts;
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

/** Number of ports to try, including the first, when the port may change. */
const NEAR_PORTS = 100;

/** Listens on `port`, or on the next free one if it is taken and `mayMove` is set. */
async function listenNear(server: HttpServer, host: string, port: number, mayMove: boolean): Promise<Listening> {
  for (let next = port; ; next += 1) {
    try {
      return await listen(server, host, next);
    } catch (error) {
      const isLast = next + 1 >= port + NEAR_PORTS || next >= 65_535;
      if (!mayMove || isLast || !(error instanceof PortTakenError)) throw error;
    }
  }
}

/** The address of an embedding server; it may not be listening yet. */
function addressOf(server: HttpServer): Listening {
  const at = server.address();
  return typeof at === 'object' && at !== null ? { host: at.address, port: at.port } : { host: '', port: 0 };
}

/** The certificate and its key; throws one sentence that names the faulty setting. */
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

/** Build information from the environment, for `/version`. */
function readBuild(env: NodeJS.ProcessEnv): { git_commit: string | null; build_date: string | null } {
  return { git_commit: env.ARQONBUS_BUILD_COMMIT ?? null, build_date: env.ARQONBUS_BUILD_DATE ?? null };
}
