import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT } from 'jose';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KEY_SET_COOLDOWN_MS, KEY_SET_MAX_AGE_MS, KEY_SET_RETRY_MS, MAX_KEY_SET_BYTES, MAX_KEYS } from './jwks.ts';
import { createVerifier, type Verifier } from './verifier.ts';

interface Pair {
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicJwk: Record<string, unknown>;
}

function pair(kid: string): Pair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { kid, privateKey, publicJwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } };
}

const first = pair('first');
const second = pair('second');

function sign(by: Pair, kid: string = by.kid): Promise<string> {
  return new SignJWT({ sub: 'ada' }).setProtectedHeader({ alg: 'ES256', kid }).sign(by.privateKey);
}

describe('a key set at a URL', () => {
  let server: Server;
  let requests: number;
  let answer: (response: ServerResponse) => void;
  let verifier: Verifier;

  const publish = (...pairs: Pair[]): void => {
    answer = (response) => response.end(JSON.stringify({ keys: pairs.map((each) => each.publicJwk) }));
  };
  const fail = (status: number, body = ''): void => {
    answer = (response) => response.writeHead(status, { location: '/elsewhere' }).end(body);
  };
  /** Moves the clock that caching and cooldown read; sockets and timers stay real. */
  const pass = (milliseconds: number): void => {
    vi.setSystemTime(Date.now() + milliseconds);
  };
  const internal = async (token: string): Promise<string> => {
    const result = await verifier.verify(token);
    if (result.ok) return 'accepted';
    expect(result.reason).toBe('invalid token');
    return result.internal;
  };

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    requests = 0;
    publish(first);
    server = createServer((_request, response) => {
      requests += 1;
      answer(response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    verifier = await createVerifier({
      jwtAlgorithm: 'ES256',
      jwtSecret: '',
      publicKeyFile: '',
      jwksUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`,
      issuer: '',
      audience: '',
    });
  });

  afterEach(async () => {
    vi.useRealTimers();
    await stop();
  });

  async function stop(): Promise<void> {
    if (!server.listening) return;
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  }

  it('is fetched by the first token and kept', async () => {
    expect(requests).toBe(0);
    const token = await sign(first);
    const results = await Promise.all([1, 2, 3].map(() => verifier.verify(token)));
    expect(results.every((result) => result.ok)).toBe(true);
    pass(KEY_SET_MAX_AGE_MS - 1);
    expect(await internal(token)).toBe('accepted');
    expect(requests).toBe(1);
    pass(1);
    expect(await internal(token)).toBe('accepted');
    expect(requests).toBe(2);
  });

  it('picks up a rotated key, and then refuses the withdrawn one', async () => {
    expect(await internal(await sign(first))).toBe('accepted');
    publish(first, second);
    pass(KEY_SET_COOLDOWN_MS);
    expect(await internal(await sign(second))).toBe('accepted');
    expect(requests).toBe(2);
    publish(second);
    pass(KEY_SET_MAX_AGE_MS);
    expect(await internal(await sign(first))).toContain('ERR_JWKS_NO_MATCHING_KEY');
    expect(await internal(await sign(second))).toBe('accepted');
  });

  it('is not fetched again and again for unknown key ids', async () => {
    expect(await internal(await sign(first))).toBe('accepted');
    const unknown = await sign(second);
    for (let i = 0; i < 50; i += 1) expect(await internal(unknown)).toContain('ERR_JWKS_NO_MATCHING_KEY');
    expect(requests).toBe(1);
    pass(KEY_SET_COOLDOWN_MS);
    for (let i = 0; i < 50; i += 1) expect(await internal(unknown)).toContain('ERR_JWKS_NO_MATCHING_KEY');
    expect(requests).toBe(2);
  });

  it('does not let a known key id cover another key', async () => {
    expect(await internal(await sign(second, 'first'))).toContain('ERR_JWS_SIGNATURE_VERIFICATION_FAILED');
  });

  it('is not fetched for a token of another algorithm', async () => {
    const token = await new SignJWT({})
      .setProtectedHeader({ alg: 'HS256', kid: 'first' })
      .sign(Buffer.from('x'.repeat(32)));
    expect(await internal(token)).toContain('ERR_JOSE_ALG_NOT_ALLOWED');
    expect(requests).toBe(0);
  });

  it('that cannot be reached refuses tokens until it is back', async () => {
    const { port } = server.address() as AddressInfo;
    await stop();
    const token = await sign(first);
    expect(await internal(token)).toBe('the key set is unavailable: ECONNREFUSED');
    expect(await internal(token)).toContain('failed a moment ago');
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    pass(KEY_SET_RETRY_MS);
    expect(await internal(token)).toBe('accepted');
  });

  it('lets fresh keys go on through an outage, and no longer', async () => {
    const token = await sign(first);
    expect(await internal(token)).toBe('accepted');
    await stop();
    pass(KEY_SET_COOLDOWN_MS);
    expect(await internal(await sign(second))).toContain('unavailable');
    expect(await internal(token)).toBe('accepted');
    pass(KEY_SET_MAX_AGE_MS);
    expect(await internal(token)).toContain('unavailable');
  });

  it('is asked at most once a second while it fails', async () => {
    fail(503);
    const token = await sign(first);
    expect(await internal(token)).toBe('the key set is unavailable: HTTP status 503');
    for (let i = 0; i < 50; i += 1) expect(await internal(token)).toContain('failed a moment ago');
    expect(requests).toBe(1);
    pass(KEY_SET_RETRY_MS);
    expect(await internal(token)).toContain('503');
    expect(requests).toBe(2);
  });

  it('is not looked for where a redirect points', async () => {
    fail(302);
    expect(await internal(await sign(first))).toContain('HTTP status 302');
    expect(requests).toBe(1);
  });

  it.each(['', 'no json', '[]', 'null', '{"keys":1}', '{"keys":[1]}'])('of the text %j is no key set', async (body) => {
    fail(200, body);
    const token = await sign(first);
    expect(await internal(token)).toContain('unavailable');
    expect(await internal(token)).toContain('failed a moment ago');
    expect(requests).toBe(1);
  });

  it('without key ids picks up a rotated key too, asked no more often than for unknown ids', async () => {
    const nameless = ({ publicJwk: { kid: _kid, ...rest }, ...each }: Pair): Pair => ({ ...each, publicJwk: rest });
    publish(nameless(first));
    expect(await internal(await sign(first))).toBe('accepted');
    publish(nameless(first), nameless(second));
    for (let i = 0; i < 20; i += 1) expect(await internal(await sign(second))).not.toBe('accepted');
    expect(requests).toBe(1);
    pass(KEY_SET_COOLDOWN_MS);
    expect(await internal(await sign(second))).toBe('accepted');
    expect(await internal(await sign(first))).toBe('accepted');
    expect(requests).toBe(2);
  });

  it('of more keys or bytes than a set needs is not taken', async () => {
    const padded = (size: number): string => {
      const text = JSON.stringify({ keys: [first.publicJwk], pad: '' });
      return text.replace('"pad":""', `"pad":"${'x'.repeat(size - text.length)}"`);
    };
    fail(200, padded(MAX_KEY_SET_BYTES + 1));
    expect(await internal(await sign(first))).toContain(`larger than ${MAX_KEY_SET_BYTES} bytes`);
    pass(KEY_SET_RETRY_MS);
    fail(200, JSON.stringify({ keys: Array.from({ length: MAX_KEYS + 1 }, () => first.publicJwk) }));
    expect(await internal(await sign(first))).toContain(`holds ${MAX_KEYS + 1} keys`);
    pass(KEY_SET_RETRY_MS);
    fail(200, padded(MAX_KEY_SET_BYTES));
    expect(await internal(await sign(first))).toBe('accepted');
    pass(KEY_SET_MAX_AGE_MS);
    fail(200, JSON.stringify({ keys: Array.from({ length: MAX_KEYS }, () => first.publicJwk) }));
    expect(await internal(await sign(first))).toBe('accepted');
  });

  it('without a key verifies nothing', async () => {
    publish();
    expect(await internal(await sign(first))).toContain('ERR_JWKS_NO_MATCHING_KEY');
  });

  it('with secrets in it verifies nothing', async () => {
    const leaked = { ...first.privateKey.export({ format: 'jwk' }), kid: 'first' };
    fail(200, JSON.stringify({ keys: [leaked, { kty: 'oct', k: 'c2VjcmV0', kid: 'first' }] }));
    expect(await internal(await sign(first))).not.toBe('accepted');
  });
});
