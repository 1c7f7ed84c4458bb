import { isIP, isIPv6 } from 'node:net';
import { BusError, compileGlobs } from '@arqonbus/protocol';
import ipaddr from 'ipaddr.js';
import { isPublicAddress } from './public-address.ts';

/** Whether a URL's host may be addressed although it is, or resolves to, a special address. */
export type HostTest = (hostname: string) => boolean;

/**
 * Compiles `ARQONBUS_WEBHOOK_ALLOW_HOSTS`: names, globs of them, and addresses. An entry opens the host that it names and
 * nothing else: another name that resolves to a listed address stays closed.
 */
export function hostTest(patterns: readonly string[]): HostTest {
  const allows = compileGlobs(patterns.map(plainHost));
  return (hostname) => allows(plainHost(hostname));
}

/** A host in the one spelling that comparisons are made in: no brackets, no final dot, small letters. */
export function plainHost(hostname: string): string {
  const bare = hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
  return isIPv6(bare) ? ipaddr.parse(bare).toString() : bare;
}

/**
 * The URL that a rule posts to. Throws VALIDATION_ERROR (field `url`) unless it is http or https, without credentials,
 * and its host could be public. What a name resolves to is judged when a connection is made, since it may change.
 */
export function checkDestination(text: string, allowed: HostTest): URL {
  if (!URL.canParse(text)) throw refused('This is no URL.', 'absolute http or https URL');
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused('Webhooks go to http and https URLs only.', 'http:// or https://');
  }
  if (url.username !== '' || url.password !== '') {
    throw refused('Credentials do not belong in the URL; send a header of your own or sign with a secret.', 'no user@');
  }
  url.hash = '';
  const host = plainHost(url.hostname);
  if (!allowed(host) && isSpecial(host)) {
    throw refused(
      `The host ${host} is loopback, private or otherwise special; the server's operator can allow it by name.`,
      'a public host',
    );
  }
  return url;
}

/** Known without asking a name server. `localhost` and names under it are loopback by definition (RFC 6761). */
function isSpecial(host: string): boolean {
  if (isIP(host) !== 0) return !isPublicAddress(host);
  return host === '' || host === 'localhost' || host.endsWith('.localhost');
}

function refused(message: string, expected: string): BusError {
  return new BusError('VALIDATION_ERROR', message, { field: 'url', expected });
}
