import { isIPv4 } from 'node:net';
import { compileGlob } from '@arqonbus/protocol';

/** One request's origin and host, and the rule they must keep (PROTOCOL section 1). */
export interface OriginCheck {
  /** As sent. Pass `request.headersDistinct.origin`: a header sent twice is refused, not silently reduced to one. */
  readonly origin: string | readonly string[] | undefined;
  /** As sent; pass `request.headersDistinct.host`. */
  readonly host: string | readonly string[] | undefined;
  /** The bus can be reached over loopback addresses only. */
  readonly listeningOnLoopback: boolean;
  /** Origins (`https://app.example`, `https://*.example.com`) or host globs (`*.example.com`: any scheme and port). */
  readonly allowedOrigins: readonly string[];
  /** Names under which the bus itself is reached: `bus.example`, `bus.example:9100`, `*.bus.example`. */
  readonly allowedHosts: readonly string[];
}

interface Authority {
  /** Lower case, without a trailing dot; IPv6 in brackets and in its canonical form. */
  readonly name: string;
  /** Null when none was written, or the scheme's default. */
  readonly port: string | null;
}

interface Origin extends Authority {
  readonly scheme: string;
}

/** An entry of a list: `name` may hold stars, `scheme` is null for a bare host. */
interface Entry extends Authority {
  readonly scheme: string | null;
}

const AUTHORITY = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.-]{1,255})(?::([0-9]{0,5}))?$/;
const ENTRY_AUTHORITY = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9_.*-]{1,255})(?::([0-9]{1,5}))?$/;
const SCHEME = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/;
const DEFAULT_PORTS: ReadonlyMap<string, string> = new Map([
  ['http', '80'],
  ['ws', '80'],
  ['https', '443'],
  ['wss', '443'],
]);
const MAPPED_LOOPBACK = /^\[::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}\]$/;

/**
 * Keeps foreign web pages out: browsers send `Origin` with every WebSocket handshake and let any page try. Null when
 * the request may go on, else a sentence for the 403 that says what the operator of the bus can do.
 *
 * - A bus on loopback refuses a `Host` that is neither a loopback name nor listed, with or without an origin: a page
 *   whose name was rebound to 127.0.0.1 still sends that name.
 * - No `Origin`: not a browser, accepted. `null`, malformed or doubled: refused.
 * - Accepted origins: the request's own `Host`, if that is a loopback name or listed; a loopback name while the bus
 *   listens on loopback only; whatever `allowedOrigins` matches.
 */
export function checkOrigin(check: OriginCheck): string | null {
  const sentHost = single(check.host);
  const host = sentHost === undefined ? undefined : parseAuthority(sentHost, AUTHORITY);
  if (check.listeningOnLoopback && sentHost !== undefined && !isOwnHost(host ?? null, check)) {
    return 'The Host header is not a name of this machine; list it in ARQONBUS_ALLOWED_HOSTS (`allowedHosts` of `attach`) to allow it.';
  }
  const sentOrigin = single(check.origin);
  if (sentOrigin === undefined) return null;
  const origin = parseOrigin(sentOrigin);
  if (origin === null) return 'The Origin header does not name an origin; pages without one are not allowed.';
  if (check.listeningOnLoopback && isLoopback(origin.name)) return null;
  if (isSameHost(origin, host ?? null) && isOwnHost(origin, check)) return null;
  if (parseEntries(check.allowedOrigins).some((entry) => allowsOrigin(entry, origin))) return null;
  return 'This origin is not allowed; list it in ARQONBUS_ALLOWED_ORIGINS (`allowedOrigins` of `attach`) to allow it.';
}

/**
 * Whether a host name or address always means the machine itself: `localhost`, `*.localhost`, 127.0.0.0/8 and `::1`,
 * in brackets or without, and 127.0.0.0/8 written as IPv6. Anything shorter or odder (`127.1`) is not.
 */
export function isLoopbackName(text: string): boolean {
  const name = parseAuthority(text.includes(':') && !text.startsWith('[') ? `[${text}]` : text, AUTHORITY)?.name;
  return name !== undefined && isLoopback(name);
}

/** `name` is that of an {@link Authority}, so that nothing is trimmed from it a second time. */
function isLoopback(name: string): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || name === '[::1]') return true;
  return (isIPv4(name) && name.startsWith('127.')) || MAPPED_LOOPBACK.test(name);
}

/** The header's only value; the empty text, which is never valid, when it was sent more than once. */
function single(value: string | readonly string[] | undefined): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  return value.length > 1 ? '' : value[0];
}

function isOwnHost(host: Authority | null, check: OriginCheck): boolean {
  if (host === null) return false;
  if (isLoopback(host.name)) return true;
  return parseEntries([...check.allowedHosts, ...check.allowedOrigins]).some((entry) => namesHost(entry, host));
}

/** The port of an entry that is an origin belongs to the page's server, which may be another one than the bus. */
function namesHost(entry: Entry, host: Authority): boolean {
  if (!compileGlob(entry.name)(host.name)) return false;
  return entry.scheme !== null || entry.port === null || entry.port === host.port;
}

function allowsOrigin(entry: Entry, origin: Origin): boolean {
  if (!compileGlob(entry.name)(origin.name)) return false;
  if (entry.scheme === null) return entry.port === null || entry.port === origin.port;
  return entry.scheme === origin.scheme && entry.port === origin.port;
}

/** `Host` names no scheme, so the default port of the origin's scheme may stand in it or not. */
function isSameHost(origin: Origin, host: Authority | null): boolean {
  return host !== null && host.name === origin.name && withoutDefaultPort(origin.scheme, host.port) === origin.port;
}

function parseOrigin(text: string): Origin | null {
  const [, scheme, rest] = SCHEME.exec(text.toLowerCase()) ?? [];
  if (scheme === undefined || rest === undefined) return null;
  const authority = parseAuthority(rest, AUTHORITY);
  return authority === null ? null : { scheme, name: authority.name, port: withoutDefaultPort(scheme, authority.port) };
}

function parseEntries(texts: readonly string[]): Entry[] {
  return texts.map(parseEntry).filter((entry) => entry !== null);
}

/** Null for what is neither an origin nor a host: such an entry allows nothing. */
function parseEntry(text: string): Entry | null {
  const trimmed = text.trim().toLowerCase().replace(/\/$/, '');
  const [, scheme = null, rest = trimmed] = SCHEME.exec(trimmed) ?? [];
  const authority = parseAuthority(rest, ENTRY_AUTHORITY);
  if (authority === null) return null;
  return {
    scheme,
    name: authority.name,
    port: scheme === null ? authority.port : withoutDefaultPort(scheme, authority.port),
  };
}

function parseAuthority(text: string, syntax: RegExp): Authority | null {
  const [, written, port = null] = syntax.exec(text.toLowerCase()) ?? [];
  if (written === undefined || Number(port) > 65_535) return null;
  const name = written.startsWith('[') ? canonicalIpv6(written) : written.replace(/\.$/, '');
  // RFC 3986 lets the port behind the colon be empty.
  const hasPort = port !== null && port !== '';
  return name === null || name === '' ? null : { name, port: hasPort ? String(Number(port)) : null };
}

function canonicalIpv6(literal: string): string | null {
  return URL.canParse(`http://${literal}/`) ? new URL(`http://${literal}/`).hostname : null;
}

function withoutDefaultPort(scheme: string, port: string | null): string | null {
  return DEFAULT_PORTS.get(scheme) === port ? null : port;
}
