import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { Server as TlsServer } from 'node:tls';

/** Headers that are about the upgrade alone. */
const ABOUT_UPGRADE: ReadonlySet<string> = new Set(['upgrade', 'http2-settings']);

/**
 * Serves a request that asked for an upgrade which nobody here makes as if it had not asked for one. RFC 9110 lets a server
 * ignore such a wish, and the HTTP client of Java has it in its first request to every plain address (`Upgrade: h2c`).
 * Node asks who takes an upgrade only once it has let go of the connection: so the server is given it as a new one, on
 * which the request comes again.
 */
export function serveWithoutUpgrade(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.unshift(Buffer.concat([Buffer.from(headOf(request), 'latin1'), head]));
  server.emit(server instanceof TlsServer ? 'secureConnection' : 'connection', socket);
}

/** The request line and headers as they came, without the wish. */
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
