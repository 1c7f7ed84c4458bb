import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { isIP, isIPv6, type LookupFunction } from 'node:net';
import { BusError, compileGlobs } from '@arqonbus/protocol';
import ipaddr from 'ipaddr.js';
import { Agent, buildConnector } from 'undici';

/** Whether a URL's host is allowed even if it is, or resolves to, a special address. */
export type HostTest = (hostname: string) => boolean;

/**
 * Compiles `ARQONBUS_WEBHOOK_ALLOW_HOSTS`: names, globs of them, and addresses. An entry allows only the host that it
 * names: another name that resolves to a listed address stays forbidden.
 */
export function hostTest(patterns: readonly string[]): HostTest {
  const allows = compileGlobs(patterns.map(plainHost));
  return (hostname) => allows(plainHost(hostname));
}

/** A normalized host name for comparisons: no brackets, no trailing dot, lower case. */
export function plainHost(hostname: string): string {
  const bare = hostname
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '');
  return isIPv6(bare) ? ipaddr.parse(bare).toString() : bare;
}

/**
 * The URL that a rule posts to. Throws VALIDATION_ERROR (field `url`) unless it is http or https, without credentials,
 * and its host could be public. Resolved addresses are checked on connecting, since they may change.
 */
export function checkDestination(text: string, allowed: HostTest): URL {
  if (!URL.canParse(text))
    throw refused(
      'The URL cannot be read; send an absolute one, like https://example.com/hook.',
      'absolute http or https URL',
    );
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused('The URL is neither http nor https; only those are posted to.', 'http:// or https://');
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

/** Detects special hosts without DNS. `localhost` and names under it are loopback by definition (RFC 6761). */
function isSpecial(host: string): boolean {
  if (isIP(host) !== 0) return !isPublicAddress(host);
  return host === '' || host === 'localhost' || host.endsWith('.localhost');
}

function refused(message: string, expected: string): BusError {
  return new BusError('VALIDATION_ERROR', message, { field: 'url', expected });
}

const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3];

/**
 * Whether an IP address is on the public internet: not loopback, private, link-local, carrier-grade NAT, multicast,
 * reserved, nor an IPv6 form that contains an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo). Invalid addresses
 * are not public.
 */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  // A mapped address is judged as the IPv4 address that the connection would really go to.
  const address = ipaddr.process(text);
  if (address.range() !== 'unicast') return false;
  // ipaddr.js also reports unassigned ranges as unicast, including IPv4-compatible addresses (::7f00:1).
  return address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST);
}

const CONNECT_TIMEOUT_MS = 10_000;
/** How long one of several addresses is tried before the next one. */
const ADDRESS_TIMEOUT_MS = 1_000;

/** Resolves a name to addresses; rejects when there are none. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

/** A connection was refused because of its target address. */
class ForbiddenAddressError extends Error {
  readonly code = 'FORBIDDEN_ADDRESS';

  constructor() {
    super('the address is not public');
    this.name = 'ForbiddenAddressError';
  }
}

/**
 * An HTTP agent that only connects to public addresses and to allowed hosts. Both checks are needed: a lookup function
 * is never called for literal addresses, and a URL check knows nothing of DNS. The checked address is the one connected
 * to, so DNS rebinding has no effect.
 *
 * It follows no redirects and uses no proxies.
 *
 * @param resolve resolves all names; by default DNS is queried directly, and the system (with its hosts file) for
 *   allowed hosts
 */
export function guardedAgent(allowed: HostTest, resolve?: Resolve): Agent {
  const common = {
    timeout: CONNECT_TIMEOUT_MS,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
  };
  const guarded = connector({ ...common, lookup: lookupBy(publicOnly(resolve ?? askDns())) });
  const open = connector(resolve === undefined ? common : { ...common, lookup: lookupBy(resolve) });
  return new Agent({
    connect: (options, callback) => {
      const host = plainHost(options.hostname);
      if (allowed(host)) open(options, callback);
      else if (isIP(host) !== 0 && !isPublicAddress(host)) callback(new ForbiddenAddressError(), null);
      else guarded(options, callback);
    },
  });
}

/** The options are those of net.connect without the port, which each connection adds. */
function connector(options: object): ReturnType<typeof buildConnector> {
  return buildConnector(options as buildConnector.BuildOptions);
}

/** Refuses a name when any of its addresses is special, even if others are public. */
export function publicOnly(resolve: Resolve): Resolve {
  return async (hostname) => {
    const addresses = await resolve(hostname);
    if (addresses.length === 0 || !addresses.every(({ address }) => isPublicAddress(address))) {
      throw new ForbiddenAddressError();
    }
    return addresses;
  };
}

/**
 * Queries DNS without the thread pool. With the system's lookup, a few names with unresponsive name servers could
 * occupy the pool's threads and block all other lookups in this process.
 */
function askDns(): Resolve {
  const resolver = new Resolver({ timeout: 2_000, tries: 2 });
  return async (hostname) => {
    const [four, six] = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
    const addresses: LookupAddress[] = [];
    if (four.status === 'fulfilled') for (const address of four.value) addresses.push({ address, family: 4 });
    if (six.status === 'fulfilled') for (const address of six.value) addresses.push({ address, family: 6 });
    if (addresses.length === 0 && four.status === 'rejected') throw four.reason;
    return addresses;
  };
}

function lookupBy(resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const [first] = addresses;
        if (options.all === true) callback(null, [...addresses]);
        else callback(null, first?.address ?? '', first?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    );
  };
}
