import { BlockList, isIPv4, isIPv6 } from 'node:net';
import type { Config } from './config.ts';

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** An address in 127.0.0.0/8 or ::1 in any spelling, `localhost` or a name under it. May have brackets, but no port. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.toLowerCase().replace(/^\[(.*)\]$/, '$1');
  if (isIPv4(bare)) return LOOPBACK.check(bare, 'ipv4');
  if (isIPv6(bare)) return LOOPBACK.check(bare, 'ipv6');
  return /^([a-z0-9_-]+\.)*localhost\.?$/.test(bare);
}

export interface Listener {
  readonly name: 'bus' | 'telemetry' | 'http';
  readonly host: string;
  readonly port: number;
}

/** The listeners of this configuration. */
export function listeners(config: Config): readonly Listener[] {
  const { server, telemetry, http } = config;
  const open: Listener[] = [{ name: 'bus', host: server.host, port: server.port }];
  if (telemetry.enabled && telemetry.port !== 'off') {
    open.push({ name: 'telemetry', host: telemetry.host, port: telemetry.port });
  }
  if (http.port !== 'off') open.push({ name: 'http', host: http.host, port: http.port });
  return open;
}

/** Whether all listeners are reachable from this machine only. */
export function onLoopbackOnly(config: Config): boolean {
  return listeners(config).every(({ host }) => isLoopbackHost(host));
}
