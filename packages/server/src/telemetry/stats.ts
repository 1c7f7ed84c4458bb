import { type Bus, longInterval, type Principal, serverPrincipal } from '@arqonbus/bus';
import type { Logger } from '../log.ts';

const OPERATOR: Principal = { ...serverPrincipal('default'), operator: true };

/** Statistics of this node, across all tenants. */
export interface ServerFigures {
  readonly clients: number;
  readonly rooms: number;
  readonly channels: number;
  readonly messages_total: number;
  readonly messages_per_minute: number;
  readonly deliveries_total: number;
  readonly telemetry_clients: number;
  readonly memory_bytes: number;
  readonly uptime_seconds: number;
  readonly storage_healthy: boolean;
}

export function serverFigures(bus: Bus, telemetryClients: number): ServerFigures {
  const { server, connections, rooms, channels, messages, storage } = bus.directory.status(OPERATOR);
  return {
    clients: connections.active,
    rooms: rooms.active,
    channels: channels.active,
    messages_total: messages.total,
    messages_per_minute: messages.rate_per_minute,
    deliveries_total: bus.hub.delivered + bus.direct.delivered,
    telemetry_clients: telemetryClients,
    memory_bytes: process.memoryUsage.rss(),
    uptime_seconds: server.uptime_seconds,
    storage_healthy: storage.healthy,
  };
}

/** Reports the statistics every `intervalMs`, as a `server_stats` event and a log line. */
export function reportStats(bus: Bus, log: Logger, intervalMs: number, telemetryClients: () => number): () => void {
  return longInterval(() => {
    const figures = serverFigures(bus, telemetryClients());
    log.info(figures, 'server stats');
    bus.events.emit('server_stats', null, { ...figures });
  }, intervalMs);
}
