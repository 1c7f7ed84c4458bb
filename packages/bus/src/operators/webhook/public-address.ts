import ipaddr from 'ipaddr.js';

const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3];

/**
 * Whether an IP address is one of the public internet: not loopback, private, link-local, carrier-grade NAT, multicast,
 * reserved, nor an IPv6 form that carries an IPv4 address (mapped, compatible, NAT64, 6to4, Teredo). What is no address
 * is not public.
 */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  // A mapped address is judged as the IPv4 address that the connection would really go to.
  const address = ipaddr.process(text);
  if (address.range() !== 'unicast') return false;
  // What no registry has given a meaning counts as unicast there, IPv4-compatible addresses (::7f00:1) among it.
  return address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST);
}
