import { isIPv4 } from 'node:net';
import { compileGlob } from '@arqonbus/protocol';

/** Where a request comes from and where it goes to, by its headers. */
export interface RequestOrigin {
  /** As sent. Pass `request.headersDistinct.origin`: a repeated header is refused, not silently reduced to one. */
  readonly origin: string | readonly string[] | undefined;
  /** As sent; pass `request.headersDistinct.host`. */
  readonly host: string | readonly string[] | undefined;
}

/** What is allowed (PROTOCOL section 1). The lists may be getters: they are read only for requests that need them. */
export interface OriginRule {
  /** The bus listens on loopback addresses only. */
  readonly listeningOnLoopback: boolean;
  /** Origins (`https://app.example`, `https://*.example.com`) or host globs (`*.example.com`: any scheme and port). */
  readonly allowedOrigins: readonly string[];
  /** Host names of the bus itself: `bus.example`, `bus.example:9100`, `*.bus.example`. */
  readonly allowedHosts: readonly string[];
}

interface Authority {
  /** Lower case, without a trailing dot; IPv6 in brackets and in canonical form. */
  readonly name: string;
  /** Null when absent, or the scheme's default. */
  readonly port: string | null;
}

interface Origin extends Authority {
  readonly scheme: string;
}

/** An entry of a list: `name` may contain stars, `scheme` is null for a bare host. */
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
 * Protects against foreign web pages: browsers send `Origin` with every WebSocket handshake, but let any page connect.
 * Null when the request passes, else the message for the 403, which says what the bus's operator can do.
 *
 * - A bus on loopback refuses a `Host` that is neither a loopback name nor listed, with or without an origin: a page
 *   whose name was rebound to 127.0.0.1 still sends that name.
 * - No `Origin`: not a browser, accepted. `null`, malformed or repeated: refused.
 * - Accepted origins: the request's own `Host`, if that is a loopback name or listed; a loopback name while the bus
 *   listens on loopback only; whatever `allowedOrigins` matches.
 */
export function checkOrigin(request: RequestOrigin, rule: OriginRule): string | null {
  const sentHost = single(request.host);
  const host = sentHost === undefined ? undefined : parseAuthority(sentHost, AUTHORITY);
  if (rule.listeningOnLoopback && sentHost !== undefined && !isOwnHost(host ?? null, rule)) {
    return 'The Host header is not a name of this machine; list it in ARQONBUS_ALLOWED_HOSTS (`allowedHosts` of `attach`) to allow it.';
  }
  const sentOrigin = single(request.origin);
  if (sentOrigin === undefined) return null;
  const origin = parseOrigin(sentOrigin);
  if (origin === null) return 'The Origin header does not name an origin; pages without one are not allowed.';
  if (rule.listeningOnLoopback && isLoopback(origin.name)) return null;
  if (isSameHost(origin, host ?? null) && isOwnHost(origin, rule)) return null;
  if (parseEntries(rule.allowedOrigins).some((entry) => allowsOrigin(entry, origin))) return null;
  return 'This origin is not allowed; list it in ARQONBUS_ALLOWED_ORIGINS (`allowedOrigins` of `attach`) to allow it.';
}

/**
 * Whether a host name or address always means the local machine: `localhost`, `*.localhost`, 127.0.0.0/8 and `::1`,
 * with or without brackets, and 127.0.0.0/8 written as IPv6. Abbreviated forms (`127.1`) do not count.
 */
export function isLoopbackName(text: string): boolean {
  const name = parseAuthority(text.includes(':') && !text.startsWith('[') ? `[${text}]` : text, AUTHORITY)?.name;
  return name !== undefined && isLoopback(name);
}

/** `name` is that of an {@link Authority}, so it is already normalized. */
function isLoopback(name: string): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || name === '[::1]') return true;
  return (isIPv4(name) && name.startsWith('127.')) || MAPPED_LOOPBACK.test(name);
}

/** The header's only value; the empty string, which is never valid, when it was sent more than once. */
function single(value: string | readonly string[] | undefined): string | undefined {
  if (value === undefined || typeof value === 'string') return value;
  return value.length > 1 ? '' : value[0];
}

function isOwnHost(host: Authority | null, rule: OriginRule): boolean {
  if (host === null) return false;
  if (isLoopback(host.name)) return true;
  return parseEntries([...rule.allowedHosts, ...rule.allowedOrigins]).some((entry) => namesHost(entry, host));
}

/** For an entry that is an origin, the port is that of the page's server, which may differ from the bus. */
function namesHost(entry: Entry, host: Authority): boolean {
  if (!compileGlob(entry.name)(host.name)) return false;
  return entry.scheme !== null || entry.port === null || entry.port === host.port;
}

function allowsOrigin(entry: Entry, origin: Origin): boolean {
  if (!compileGlob(entry.name)(origin.name)) return false;
  if (entry.scheme === null) return entry.port === null || entry.port === origin.port;
  return entry.scheme === origin.scheme && entry.port === origin.port;
}

/** `Host` has no scheme, so it may include or omit the default port of the origin's scheme. */
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

/** Null for an invalid entry, which allows nothing. */
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
  // RFC 3986 allows an empty port after the colon.
  const hasPort = port !== null && port !== '';
  return name === null || name === '' ? null : { name, port: hasPort ? String(Number(port)) : null };
}

function canonicalIpv6(literal: string): string | null {
  return URL.canParse(`http://${literal}/`) ? new URL(`http://${literal}/`).hostname : null;
}

function withoutDefaultPort(scheme: string, port: string | null): string | null {
  return DEFAULT_PORTS.get(scheme) === port ? null : port;
}
