import ipaddr from 'ipaddr.js';

/** The last address parsed: a connection's is needed several times, and connections of one proxy share theirs. */
let last = { address: '', network: '' };

/**
 * The unit that counts as one address: an IPv4 address, also when a dual-stack socket reports it as IPv6, or an IPv6
 * /64, the smallest network that providers assign and within which a host can choose addresses freely.
 */
export function networkOf(address: string): string {
  if (last.address !== address) last = { address, network: parse(address) };
  return last.network;
}

function parse(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  if (parsed instanceof ipaddr.IPv6)
    return parsed.parts
      .slice(0, 4)
      .map((part) => part.toString(16))
      .join(':');
  return parsed.toString();
}
