import { STATUS_CODES } from 'node:http';

const ERROR_CODES: Readonly<Record<number, string>> = {
  400: 'VALIDATION_ERROR',
  401: 'AUTHENTICATION_FAILED',
  403: 'AUTHORIZATION_ERROR',
  404: 'NOT_FOUND',
  426: 'VALIDATION_ERROR',
  429: 'LIMIT_EXCEEDED',
  503: 'LIMIT_EXCEEDED',
};

/** The body of every HTTP refusal of a handshake. */
export function refusalBody(status: number, details: string): string {
  return JSON.stringify({ error: STATUS_CODES[status], error_code: ERROR_CODES[status], details });
}

export function refusalHeaders(status: number): Record<string, string> {
  return {
    'Content-Type': 'application/json',
    ...(status === 401 ? { 'WWW-Authenticate': 'Bearer realm="arqonbus"' } : {}),
    ...(status === 503 || status === 429 ? { 'Retry-After': '5' } : {}),
    ...(status === 426 ? { Upgrade: 'websocket' } : {}),
  };
}
