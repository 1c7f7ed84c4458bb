import { readFileSync } from 'node:fs';
import { anonymousPrincipal, anonymousRole } from './auth/anonymous.ts';
import { createVerifier } from './auth/verifier.ts';
import type { Bus } from './bus/bus.ts';
import type { Config } from './config/config.ts';
import { onLoopbackOnly } from './config/listeners.ts';
import type { Logger } from './log.ts';
import { Gate } from './transport/gate.ts';
import { Heartbeat } from './transport/heartbeat.ts';
import { createUpgradeServer, type Listening, listen, stop, type Tls } from './transport/listener.ts';
import { Upgrades } from './transport/upgrade.ts';

/** Where a started server can be reached; null for a listener that is off. */
export interface Addresses {
  readonly bus: Listening;
  readonly telemetry: Listening | null;
  readonly http: Listening | null;
}

/** The listeners of a server. They can be closed and opened anew while the bus goes on. */
export interface Edge {
  readonly addresses: Addresses;
  close(): Promise<void>;
}

/** Opens all listeners; when one cannot be opened none stays open. */
export async function openEdge(config: Config, bus: Bus, log: Logger): Promise<Edge> {
  const { server, auth } = config;
  const loopback = onLoopbackOnly(config);
  const gate = new Gate({
    verifier: auth.enabled ? await createVerifier(auth) : null,
    anonymous: anonymousPrincipal(anonymousRole(auth.anonymousRole, loopback)),
    listeningOnLoopback: loopback,
    allowedOrigins: server.allowedOrigins,
    allowedHosts: server.allowedHosts,
    onRefused: ({ status, details, internal }, address) => {
      log.warn({ status, details, internal, address }, 'handshake refused');
      bus.events.emit('auth_failed', null, { status, reason: details, address }, 'warning');
    },
  });
  const heartbeat = new Heartbeat(server.pingIntervalSeconds * 1000, Date.now);
  const upgrades = new Upgrades(bus, gate, {
    ...server,
    ...config.bus,
    subjectRateLimitPerSecond: auth.subjectRateLimitPerSecond,
    maxMessageBytes: server.maxMessageSize,
    strict: server.strictEnvelope,
    now: Date.now,
    heartbeat,
  });
  const httpServer = createUpgradeServer(readTls(config));
  upgrades.listenTo(httpServer);
  const listening = await listen(httpServer, server.host, server.port);
  return {
    addresses: { bus: listening, telemetry: null, http: null },
    close: async () => {
      heartbeat.stop();
      await stop(httpServer);
    },
  };
}

function readTls({ server }: Config): Tls | null {
  if (server.tlsCertFile === '') return null;
  return { cert: readFileSync(server.tlsCertFile, 'utf8'), key: readFileSync(server.tlsKeyFile, 'utf8') };
}
