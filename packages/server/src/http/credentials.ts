import type { IncomingMessage } from 'node:http';
import {
  API_KEY_SUBJECT,
  type Awaitable,
  anonymousPrincipal,
  hasRole,
  type Principal,
  type Refused,
  type Sender,
  subjectIdentity,
  systemSender,
} from '@arqonbus/bus';
import { isRoomName } from '@arqonbus/protocol';
import type { ApiKeyCheck } from '../auth/api-key.ts';
import { extractToken, tokenFromCookie } from '../auth/credentials.ts';
import type { Verifier } from '../auth/verifier.ts';
import { isLoopbackHost } from '../config/listeners.ts';
import type { HttpRates } from './rates.ts';
import { HttpRefusal } from './reply.ts';

/**
 * Who may use a route: `open` everybody; `metrics` everybody, or operators if the configuration says so; `user`
 * everybody who could open a WebSocket, within the same grants; `admin` admins, for their own tenant; `operator`
 * operators of all tenants, since the route is about the whole server.
 */
export type Access = 'open' | 'metrics' | 'user' | 'admin' | 'operator';

/** The caller of a request, and the tenant it is for. */
export interface Caller {
  readonly principal: Principal;
  /** The sender of its messages and commands. */
  readonly sender: Sender;
  /** Charges one more item of a batch to the rate limit. Throws RATE_LIMITED, as for one request too many. */
  charge(): void;
}

/** Who may use a route, and how credentials may be sent. */
interface Entrance {
  readonly access: Access;
  readonly takesQueryToken: boolean;
}

export interface CredentialRules {
  readonly checkApiKey: ApiKeyCheck;
  readonly hasApiKey: boolean;
  /** Null: authentication is off. */
  readonly verifier: Verifier | null;
  /** The cookie that may hold a token, for requests with a checked origin; empty: none. */
  readonly cookie: string;
  /** The principal of local callers if neither a key nor authentication is configured; null: none. */
  readonly local: Principal | null;
  readonly rates: HttpRates;
  /** Throws a BusError for a subject that the tenant has barred. */
  readonly requireWelcome: (principal: Principal) => void;
  /** Called for every refused credential; `internal` is for the log only. */
  readonly onRefused: (refused: Omit<Refused, 'ok'>, address: string) => void;
}

/** The caller of open routes. */
const STRANGER: Caller = callerOf(anonymousPrincipal('guest', false), () => {});

const SENDER_NAME_LENGTH = 128;

/** Authenticates HTTP requests (TELEMETRY, HTTP): by API key, by token, or as a local caller. */
export class Credentials {
  private readonly rules: CredentialRules;

  constructor(rules: CredentialRules) {
    this.rules = rules;
  }

  /**
   * Identifies a caller and checks that it may use routes of `access`. Throws the refusal: 401 for invalid credentials,
   * 403 for insufficient ones, 429 for too many requests.
   *
   * @param tenant the tenant in the query: operators may choose one, others only their own
   */
  identify(request: IncomingMessage, { access, takesQueryToken }: Entrance, tenant: string | null): Awaitable<Caller> {
    if (access === 'open') return STRANGER;
    const found = this.principal(request, takesQueryToken);
    const allow = (principal: Principal): Caller => {
      this.rules.requireWelcome(principal);
      const charge = (): void => this.rules.rates.charge(principal, request.socket.remoteAddress ?? '');
      charge();
      return callerOf(this.allow(request, principal, access, tenant), charge);
    };
    return found instanceof Promise ? found.then(allow) : allow(found);
  }

  private principal(request: IncomingMessage, takesQueryToken: boolean): Awaitable<Principal> {
    const { verifier, hasApiKey, checkApiKey, local } = this.rules;
    const key = request.headers['x-api-key'];
    if (key !== undefined && hasApiKey) {
      const operator = checkApiKey(typeof key === 'string' ? key : undefined);
      if (operator === null) throw this.unauthorized(request, 'invalid API key', 'X-API-Key does not match');
      return operator;
    }
    if (verifier !== null) return this.verify(request, verifier, takesQueryToken);
    if (hasApiKey) throw this.unauthorized(request, 'missing API key', 'no X-API-Key was sent');
    if (local !== null && isLoopbackHost(request.socket.remoteAddress ?? '')) return local;
    throw this.unauthorized(request, 'no credentials are configured', 'neither an API key nor authentication is set');
  }

  private async verify(request: IncomingMessage, verifier: Verifier, takesQueryToken: boolean): Promise<Principal> {
    const { authorization } = request.headers;
    const sent = extractToken({ authorization }, takesQueryToken ? (request.url ?? '') : '');
    const verified = await verifier.verify(sent ?? tokenFromCookie(request.headers, this.rules.cookie));
    if (!verified.ok) throw this.unauthorized(request, verified.reason, verified.internal);
    return verified.principal;
  }

  private allow(request: IncomingMessage, principal: Principal, access: Access, tenant: string | null): Principal {
    if (access !== 'user' && !hasRole(principal, 'admin')) {
      throw this.forbidden(request, 'This needs the role admin.', { required_role: 'admin' });
    }
    if (tenant !== null && !isRoomName(tenant)) {
      throw new HttpRefusal(400, 'VALIDATION_ERROR', 'Parameter "tenant": not a tenant’s name.', { field: 'tenant' });
    }
    if (access !== 'user' && access !== 'admin' && !principal.operator) {
      throw this.forbidden(request, OPERATORS_ONLY, { required: 'operator' });
    }
    if (tenant === null) return principal;
    if (!principal.operator && tenant !== principal.tenant) {
      throw this.forbidden(request, 'Only operators choose a tenant.', { field: 'tenant' });
    }
    // A request that names a tenant is limited to it.
    return { ...principal, tenant, operator: principal.operator && access !== 'admin' && access !== 'user' };
  }

  private unauthorized(request: IncomingMessage, reason: string, internal: string): HttpRefusal {
    this.rules.onRefused({ status: 401, details: reason, internal }, request.socket.remoteAddress ?? '');
    return new HttpRefusal(401, 'AUTHENTICATION_FAILED', SENTENCE, { reason }, CHALLENGE);
  }

  private forbidden(request: IncomingMessage, sentence: string, details: Record<string, string>): HttpRefusal {
    const refused = { status: 403, details: sentence, internal: 'the credentials do not suffice' } as const;
    this.rules.onRefused(refused, request.socket.remoteAddress ?? '');
    return new HttpRefusal(403, 'AUTHORIZATION_ERROR', sentence, details);
  }
}

const SENTENCE = 'Send the header X-API-Key, or Authorization with a bearer token, as the server is configured.';
const OPERATORS_ONLY = 'This is about the whole server: it takes the API key, or an admin’s token of the tenant "*".';
const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="arqonbus"' };

function callerOf(principal: Principal, charge: () => void): Caller {
  const { subject } = principal;
  const name = `http:${senderName(subject)}`;
  // A token's subject is the same over WebSocket and HTTP; the API key has its own identity.
  const identity = subject === null || subject === API_KEY_SUBJECT ? name : subjectIdentity(subject);
  return { principal, sender: systemSender(name, principal, identity), charge };
}

/** The sender name after `http:`. No token's subject can pass for the API key or an anonymous caller. */
function senderName(subject: string | null): string {
  if (subject === API_KEY_SUBJECT) return 'api-key';
  if (subject === null) return 'anonymous';
  const name = subject.replaceAll(/[^A-Za-z0-9._-]/g, '_').slice(0, SENDER_NAME_LENGTH);
  return name === 'api-key' || name === 'anonymous' ? `${name}_` : name;
}
