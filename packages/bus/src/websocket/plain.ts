import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { Server as TlsServer } from 'node:tls';

/** Headers that concern only the upgrade. */
const ABOUT_UPGRADE: ReadonlySet<string> = new Set(['upgrade', 'http2-settings']);

/**
 * Serves a request for an unsupported upgrade as a plain request. RFC 9110 lets a server ignore upgrades, and Java's
 * HTTP client sends one with its first request to every plain address (`Upgrade: h2c`). By the time Node emits the
 * upgrade it has detached the connection, so the socket is passed to the server as a new connection, on which the
 * request is replayed.
 */
export function serveWithoutUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.unshift(Buffer.concat([Buffer.from(headOf(request), 'latin1'), head]));
  server.emit(server instanceof TlsServer ? 'secureConnection' : 'connection', socket);
}

/** The request line and headers as received, without the upgrade. */
function headOf({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    const known = name.toLowerCase();
    if (ABOUT_UPGRADE.has(known)) continue;
    lines.push(`${name}: ${known === 'connection' ? withoutUpgrade(value) : value}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function withoutUpgrade(connection: string): string {
  const wishes = connection.split(',').map((wish) => wish.trim());
  return wishes.filter((wish) => !ABOUT_UPGRADE.has(wish.toLowerCase())).join(', ');
}
