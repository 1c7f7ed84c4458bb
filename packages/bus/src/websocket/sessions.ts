import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { BusError, CLIENT_TYPES, CLOSE, type ClientType, parseAddress, WILDCARD } from '@arqonbus/protocol';
import type { WebSocket } from 'ws';
import type { Wire } from '../connection/outbox.ts';
import type { Arrival, Session } from '../connection/session.ts';
import type { Awaitable } from '../engine/engine.ts';
import type { Inspector } from '../inspection.ts';
import { networkOf } from '../network.ts';
import { isSubject, type Principal } from '../principal.ts';
import { inspectArrival } from '../profile.ts';
import type { Behind } from './handshake.ts';
import type { Heartbeat } from './heartbeat.ts';
import { Socket, type SocketEvents } from './socket.ts';

const MAX_TEXT = 2_048;
const CLIENT_KEY = /^[A-Za-z0-9._~-]{16,64}$/;

/** What the bus provides for the sessions of connections. */
export interface SessionHost {
  readonly inspector: Inspector;
  requireWelcome(principal: Principal): void;
  /** Asks the backend, if any, who the client is. Throws or rejects with a BusError to refuse it. */
  admit(arrival: Arrival): Awaitable<Arrival>;
  connect(arrival: Arrival, wire: Wire): Session;
  receive(session: Session, frame: Buffer): void;
  receiveBinary(session: Session): void;
  closeSession(session: Session, code: number, reason: string): void;
  /** `isFarewell`: the client closed it on purpose. */
  disconnect(session: Session, reason: string, isFarewell?: boolean): void;
}

/** Turns WebSockets into sessions of the bus (PROTOCOL section 1). */
export class WebSocketSessions implements Behind<Arrival> {
  private readonly host: SessionHost;
  private readonly heartbeat: Heartbeat;

  constructor(host: SessionHost, heartbeat: Heartbeat) {
    this.host = host;
    this.heartbeat = heartbeat;
  }

  read(request: IncomingMessage, principal: Principal): Awaitable<Arrival> {
    return this.host.admit(arrivalOf(request, principal, this.host));
  }

  open(ws: WebSocket, duplex: Duplex, arrival: Arrival): void {
    const { host } = this;
    const socket = new Socket(ws, duplex, this.heartbeat);
    socket.open(new Line(host, host.connect(arrival, socket)));
  }
}

/** Passes a socket's events to its session. */
class Line implements SocketEvents {
  private readonly host: SessionHost;
  private readonly session: Session;

  constructor(host: SessionHost, session: Session) {
    this.host = host;
    this.session = session;
  }

  text(bytes: Buffer): void {
    this.host.receive(this.session, bytes);
  }

  binary(): void {
    this.host.receiveBinary(this.session);
  }

  silent(): void {
    this.host.closeSession(this.session, CLOSE.HEARTBEAT_MISSED, 'heartbeat missed');
  }

  ended(code: number): void {
    this.session.outbox.abandon();
    const isClean = CLEAN.has(code);
    this.host.disconnect(this.session, isClean ? 'closed' : `lost (${code})`, isClean);
  }
}

/** Close codes of a connection that its client closed on purpose. */
const CLEAN: ReadonlySet<number> = new Set([1000, 1001, 1005]);

/**
 * The arriving client, from the request's query, after inspection by the content policy. Throws VALIDATION_ERROR for
 * malformed values, AUTHENTICATION_FAILED or AUTHORIZATION_ERROR for clients that the tenant bars, and the policy's
 * BusError.
 */
export function arrivalOf(
  request: IncomingMessage,
  principal: Principal,
  host: Pick<SessionHost, 'inspector' | 'requireWelcome'>,
): Arrival {
  const arrival = readArrival(request.url ?? '/', principal, request.socket.remoteAddress ?? '');
  host.requireWelcome(arrival.principal);
  return inspectArrival(host.inspector, arrival);
}

/**
 * Reads a client's description of itself: the query of the upgrade request (PROTOCOL section 1). Throws
 * VALIDATION_ERROR, answered with 400, for an unknown `client_type` and malformed values.
 */
function readArrival(url: string, principal: Principal, address: string): Arrival {
  const mark = url.indexOf('?');
  const query = new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1));
  const clientKey = text(query, 'client_key');
  if (clientKey !== null && !CLIENT_KEY.test(clientKey)) {
    throw invalid('client_key', 'is 16-64 random letters, digits, ".", "_", "~" or "-"');
  }
  const subject = text(query, 'subject');
  return {
    principal: subject === null ? principal : named(principal, subject),
    profile: {
      clientType: clientType(text(query, 'client_type')),
      screenName: text(query, 'screen_name'),
      avatar: text(query, 'avatar'),
      personality: text(query, 'personality'),
    },
    clientKey: clientKey ?? undefined,
    address: networkOf(address),
    join: firstMembership(text(query, 'room'), text(query, 'channel')),
  };
}

/** With authentication off a client names its own subject; otherwise the token does. */
function named(principal: Principal, subject: string): Principal {
  if (principal.subject === subject) return principal;
  if (principal.anonymous !== true) throw invalid('subject', 'comes from the token here; leave it out');
  if (!isSubject(subject)) throw invalid('subject', 'is 1-256 printable characters, and not one of the server');
  return { ...principal, subject };
}

function clientType(value: string | null): ClientType {
  const type = value ?? 'service';
  if (!(CLIENT_TYPES as readonly string[]).includes(type)) {
    throw invalid('client_type', `is one of ${CLIENT_TYPES.join(', ')}`);
  }
  return type as ClientType;
}

function firstMembership(room: string | null, channel: string | null): Arrival['join'] {
  if (room === null && channel === null) return undefined;
  const address = parseAddress(room ?? undefined, channel ?? undefined);
  if (address.room === undefined) throw invalid('channel', 'needs its room');
  return { room: address.room, channel: address.channel ?? WILDCARD };
}

function text(query: URLSearchParams, name: string): string | null {
  const value = query.get(name);
  if (value === null || value === '') return null;
  if (value.length > MAX_TEXT) throw invalid(name, `is at most ${MAX_TEXT} characters`);
  return value;
}

function invalid(field: string, rule: string): BusError {
  return new BusError('VALIDATION_ERROR', `"${field}" ${rule}.`, { field });
}
