import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector } from 'undici';
import { type HostTest, plainHost } from './destination.ts';
import { isPublicAddress } from './public-address.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** How long one address of several is tried before the next one. */
const ADDRESS_TIMEOUT_MS = 1_000;

/** The addresses behind a name; rejects when there are none. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

/** A connection was refused because of where it would go. */
class ForbiddenAddressError extends Error {
  readonly code = 'FORBIDDEN_ADDRESS';

  constructor() {
    super('the address is not public');
    this.name = 'ForbiddenAddressError';
  }
}

/**
 * An HTTP agent that connects to public addresses and to allowed hosts only. Both halves are needed: a look-up of one's
 * own is never asked about literal addresses, and a check of the URL knows nothing of names. The address that was
 * checked is the one connected to, so that a name which answers differently the next time gains nothing.
 *
 * It follows no redirects and knows no proxies.
 *
 * @param resolve answers for all names; without it DNS is asked directly, and the system (with its hosts file) for
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

/** The options are those of net.connect without the port, which each connection brings. */
function connector(options: object): ReturnType<typeof buildConnector> {
  return buildConnector(options as buildConnector.BuildOptions);
}

/** Refuses a name when any of its addresses is special: a public one beside it does not make it trustworthy. */
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
 * Asks the name servers without the thread pool. The system's look-up would let a few names with silent servers occupy
 * the pool's threads, and then whoever else looks up a name in this process waits behind them.
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
