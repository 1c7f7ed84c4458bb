import type { IncomingMessage } from 'node:http';
import type { Awaitable } from '../engine/engine.ts';
import type { Principal, Verification } from '../principal.ts';
import { checkOrigin } from './origin.ts';

/** Why a request is refused. `internal` is only logged. */
export interface Refused {
  readonly ok: false;
  readonly status: 400 | 401 | 403 | 503;
  readonly details: string;
  readonly internal: string;
}

export interface Admitted {
  readonly ok: true;
  readonly principal: Principal;
}

export interface GateOptions {
  /** Authenticates a request; null: authentication is off and every client is `anonymous`. */
  readonly authenticate: ((request: IncomingMessage) => Promise<Verification>) | null;
  readonly anonymous: Principal;
  readonly listeningOnLoopback: boolean;
  readonly allowedOrigins: readonly string[];
  readonly allowedHosts: readonly string[];
  /** Called for every refusal, with the peer's address; never with a token. */
  readonly onRefused: (refused: Refused, address: string) => void;
}

/** Decides once, before a socket opens, whether to admit a request, and authenticates it (PROTOCOL section 1). */
export class Gate {
  private readonly options: GateOptions;

  constructor(options: GateOptions) {
    this.options = options;
  }

  /** Whether a request passes the origin and host check; reports nothing. */
  allowsOrigin(request: IncomingMessage): boolean {
    return this.foreign(request) === null;
  }

  /** The origin and host check; null when the request passes. */
  checkOrigin(request: IncomingMessage): Refused | null {
    const reason = this.foreign(request);
    return reason === null ? null : this.refuse(request, 403, reason, 'origin or host not allowed');
  }

  private foreign({ headersDistinct: { origin, host } }: IncomingMessage): string | null {
    return checkOrigin({ origin, host }, this.options);
  }

  admit(request: IncomingMessage): Awaitable<Admitted | Refused> {
    const foreign = this.checkOrigin(request);
    if (foreign !== null) return foreign;
    const { authenticate, anonymous } = this.options;
    if (authenticate === null) return { ok: true, principal: anonymous };
    return this.authenticate(request, authenticate);
  }

  private async authenticate(
    request: IncomingMessage,
    authenticate: (request: IncomingMessage) => Promise<Verification>,
  ): Promise<Admitted | Refused> {
    const verified = await authenticate(request);
    if (!verified.ok) return this.refuse(request, 401, verified.reason, verified.internal);
    return { ok: true, principal: verified.principal };
  }

  /** Reports a refusal that was decided after the gate. */
  report(request: IncomingMessage, refusal: Omit<Refused, 'ok'>): void {
    this.options.onRefused({ ok: false, ...refusal }, request.socket.remoteAddress ?? '');
  }

  private refuse(request: IncomingMessage, status: 401 | 403, details: string, internal: string): Refused {
    this.report(request, { status, details, internal });
    return { ok: false, status, details, internal };
  }
}
