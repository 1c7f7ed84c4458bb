import { createHmac, createSign, generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { SignJWT } from 'jose';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createVerifier, MAX_TOKEN_LENGTH, type Verifier, type VerifierOptions } from './verifier.ts';

const SECRET = 'correct horse battery staple, correct horse';
const OPTIONS: VerifierOptions = {
  jwtAlgorithm: 'HS256',
  jwtSecret: SECRET,
  publicKeyFile: '',
  jwksUrl: '',
  issuer: '',
  audience: '',
};
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const rsaPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string;

/** Signs by hand, so that headers and payloads can be wrong in ways that no library would write. */
function forge(header: unknown, payload: unknown, sign: (input: string) => string): string {
  const input = `${base64(header)}.${base64(payload)}`;
  return `${input}.${sign(input)}`;
}

function base64(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

function hmac(key: string | Buffer): (input: string) => string {
  return (input) => createHmac('sha256', key).update(input).digest('base64url');
}

function hs256(payload: unknown, header: Record<string, unknown> = {}): string {
  return forge({ alg: 'HS256', ...header }, payload, hmac(SECRET));
}

const seconds = (): number => Math.floor(Date.now() / 1000);

describe('a verifier', () => {
  let folder: string;
  let hs: Verifier;
  let rs: Verifier;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arqonbus-auth-'));
    await writeFile(join(folder, 'rsa.pem'), rsaPem);
    hs = await createVerifier(OPTIONS);
    rs = await createVerifier({
      ...OPTIONS,
      jwtAlgorithm: 'RS256',
      jwtSecret: '',
      publicKeyFile: join(folder, 'rsa.pem'),
    });
  });

  afterAll(() => rm(folder, { recursive: true }));
  afterEach(() => {
    vi.useRealTimers();
  });

  async function refusal(verifier: Verifier, token: string | null | undefined): Promise<string> {
    const result = await verifier.verify(token);
    return result.ok ? 'accepted' : result.reason;
  }

  it('turns a good token into its principal', async () => {
    const exp = seconds() + 600;
    const result = await hs.verify(
      hs256({ sub: 'ada', role: 'admin', tenant_id: 'acme', publish: ['science:*'], telemetry: true, exp }),
    );
    expect(result).toMatchObject({
      ok: true,
      principal: {
        subject: 'ada',
        role: 'admin',
        tenant: 'acme',
        tokenExpiresAt: exp * 1000,
        expiresAt: (exp + 30) * 1000,
        telemetry: true,
        operator: false,
      },
      claims: { sub: 'ada' },
    });
    expect(result.ok && result.principal.grants?.publish?.patterns).toEqual(['science:*']);
  });

  it('tells missing from invalid, and nothing else', async () => {
    expect(await refusal(hs, null)).toBe('missing token');
    expect(await refusal(hs, undefined)).toBe('missing token');
    expect(await refusal(hs, '')).toBe('missing token');
    expect(await refusal(hs, 'x')).toBe('invalid token');
  });

  describe('refuses a forged algorithm:', () => {
    it.each(['none', 'None', 'NONE', 'nOnE', '', null, 0, ['HS256'], 'HS512', 'hs256', 'ES256', '__proto__'])(
      '%j',
      async (alg) => {
        for (const sign of [() => '', hmac(SECRET), hmac('')]) {
          expect(await refusal(hs, forge({ alg }, { role: 'admin' }, sign))).toBe('invalid token');
          expect(await refusal(rs, forge({ alg }, { role: 'admin' }, sign))).toBe('invalid token');
        }
      },
    );

    it('no algorithm at all', async () => {
      expect(await refusal(hs, forge({ typ: 'JWT' }, {}, hmac(SECRET)))).toBe('invalid token');
    });

    it('the public key as an HMAC secret, in every spelling an attacker would try', async () => {
      const der = rsa.publicKey.export({ type: 'spki', format: 'der' });
      const spellings = [rsaPem, rsaPem.trim(), rsaPem.replaceAll('\n', ''), der, der.toString('base64'), ''];
      for (const key of [...spellings, rsa.publicKey.export({ type: 'pkcs1', format: 'pem' })]) {
        const token = forge({ alg: 'HS256', typ: 'JWT' }, { role: 'admin' }, hmac(key));
        expect(await refusal(rs, token)).toBe('invalid token');
      }
    });

    it('a key that the token brings along', async () => {
      const own = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const jwk = own.publicKey.export({ format: 'jwk' });
      const header = {
        alg: 'RS256',
        jwk,
        jku: 'https://attacker.example/jwks.json',
        x5u: 'https://attacker.example/x',
      };
      const token = forge(header, {}, (input) => createSign('sha256').update(input).sign(own.privateKey, 'base64url'));
      expect(await refusal(rs, token)).toBe('invalid token');
    });
  });

  it('accepts RS256 by the configured key, and HS256 by no verifier of RS256', async () => {
    const token = await new SignJWT({ sub: 'ada' }).setProtectedHeader({ alg: 'RS256' }).sign(rsa.privateKey);
    expect(await rs.verify(token)).toMatchObject({ ok: true, principal: { subject: 'ada' } });
    expect(await refusal(hs, token)).toBe('invalid token');
    expect(await refusal(rs, hs256({}))).toBe('invalid token');
  });

  it('refuses a tampered header, payload or signature', async () => {
    const [header = '', payload = '', signature = ''] = hs256({ sub: 'ada', role: 'user' }).split('.');
    const raised = base64({ sub: 'ada', role: 'admin' });
    const flipped = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1);
    const forged = [
      `${header}.${raised}.${signature}`,
      `${base64({ alg: 'HS256', kid: 'x' })}.${payload}.${signature}`,
      `${header}.${payload}.${flipped}`,
      `${header}.${payload}.${signature.slice(0, -2)}`,
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `.${payload}.${signature}`,
      `${header}..${signature}`,
      `${header}.${payload}.${signature}.`,
      `${header}.${payload}.${signature}.${signature}.${signature}`,
    ];
    for (const token of forged) expect(await refusal(hs, token)).toBe('invalid token');
  });

  it('refuses another secret', async () => {
    expect(await refusal(hs, forge({ alg: 'HS256' }, {}, hmac(`${SECRET}!`)))).toBe('invalid token');
  });

  it('refuses extensions it does not know, and unencoded payloads', async () => {
    expect(await refusal(hs, hs256({}, { crit: ['x'], x: 1 }))).toBe('invalid token');
    expect(await refusal(hs, hs256({}, { crit: [] }))).toBe('invalid token');
    expect(await refusal(hs, hs256({}, { crit: ['b64'], b64: false }))).toBe('invalid token');
  });

  it.each(['[]', '"text"', 'null', '1', '', '{"role":', '{"sub":"a"}}'])('refuses the payload %s', async (payload) => {
    expect(await refusal(hs, hs256(payload))).toBe('invalid token');
  });

  describe('keeps the clock with 30 s of leeway:', () => {
    const now = 1_800_000_000;
    const cases: [claims: object, outcome: string][] = [
      [{ exp: now + 1 }, 'accepted'],
      [{ exp: now }, 'accepted'],
      [{ exp: now - 29 }, 'accepted'],
      [{ exp: now - 29.5 }, 'token expired'],
      [{ exp: now - 30 }, 'token expired'],
      [{ exp: now - 86_400 }, 'token expired'],
      [{ exp: 0 }, 'token expired'],
      [{ exp: -1 }, 'token expired'],
      [{ nbf: now + 30 }, 'accepted'],
      [{ nbf: now + 31 }, 'invalid token'],
      [{ iat: now + 30 }, 'accepted'],
      [{ iat: now + 31 }, 'invalid token'],
      [{ iat: now - 86_400 }, 'accepted'],
      [{ nbf: now + 31, exp: now - 31 }, 'invalid token'],
    ];
    it.each(cases)('%j is %s', async (claims, outcome) => {
      vi.useFakeTimers({ toFake: ['Date'], now: now * 1000 });
      expect(await refusal(hs, hs256(claims))).toBe(outcome);
    });

    it.each(['exp', 'nbf', 'iat'])('%s of another type is invalid', async (claim) => {
      for (const value of ['"1900000000"', 'null', 'true', '[]', '{}']) {
        expect(await refusal(hs, hs256(`{"${claim}":${value}}`))).toBe('invalid token');
      }
    });

    it('an expiry that no clock reaches is invalid', async () => {
      expect(await refusal(hs, hs256('{"exp":1e999}'))).toBe('invalid token');
      expect(await refusal(hs, hs256('{"exp":1e300}'))).toBe('invalid token');
    });

    it('nobody without the key learns that a token is expired', async () => {
      expect(await refusal(hs, forge({ alg: 'HS256' }, { exp: 1 }, hmac('guess')))).toBe('invalid token');
      expect(
        await refusal(
          hs,
          forge({ alg: 'none' }, { exp: 1 }, () => ''),
        ),
      ).toBe('invalid token');
    });
  });

  describe('with issuer and audience configured', () => {
    let verifier: Verifier;
    beforeAll(async () => {
      verifier = await createVerifier({ ...OPTIONS, issuer: 'https://id.example', audience: 'arqonbus' });
    });

    it('accepts a token that names both', async () => {
      for (const aud of ['arqonbus', ['other', 'arqonbus']]) {
        expect(await refusal(verifier, hs256({ iss: 'https://id.example', aud }))).toBe('accepted');
      }
    });

    it.each([
      { aud: 'arqonbus' },
      { iss: 'https://id.example' },
      { iss: 'https://id.example/', aud: 'arqonbus' },
      { iss: ['https://id.example'], aud: 'arqonbus' },
      { iss: 'https://id.example', aud: 'arqonbus2' },
      { iss: 'https://id.example', aud: [] },
      { iss: 'https://id.example', aud: { arqonbus: true } },
      { iss: 'https://evil.example', aud: 'arqonbus', exp: 1 },
    ])('refuses %j', async (claims) => {
      expect(await refusal(verifier, hs256(claims))).toBe('invalid token');
    });
  });

  it('looks at no more than 8 KiB', async () => {
    const token = hs256({ pad: '' });
    const sized = (length: number): string => {
      let pad = Math.floor(((length - token.length) * 3) / 4);
      while (hs256({ pad: 'x'.repeat(pad) }).length < length) pad += 1;
      return hs256({ pad: 'x'.repeat(pad) });
    };
    expect(await refusal(hs, sized(MAX_TOKEN_LENGTH - 2))).toBe('accepted');
    expect(sized(MAX_TOKEN_LENGTH + 1).length).toBeGreaterThan(MAX_TOKEN_LENGTH);
    const result = await hs.verify(sized(MAX_TOKEN_LENGTH + 1));
    expect(result).toEqual({ ok: false, reason: 'invalid token', internal: 'longer than 8192 characters' });
    expect(await refusal(hs, 'a'.repeat(10_000_000))).toBe('invalid token');
  });

  it('never throws, whatever the text', async () => {
    const part = fc.oneof(fc.base64String(), fc.json().map(base64), fc.string());
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(part, { maxLength: 6 }).map((parts) => parts.join('.')),
    );
    await fc.assert(
      fc.asyncProperty(text, async (token) => {
        expect(await refusal(hs, token)).toMatch(/^(invalid|missing) token$/);
        expect(await refusal(rs, token)).toMatch(/^(invalid|missing) token$/);
      }),
    );
  });

  it('says nothing of token, key or claims in its internal reason', async () => {
    const tokens = [
      hs256({ sub: 'SENTINEL\u0000' }),
      hs256({ role: 'SENTINEL' }),
      hs256({ exp: 'SENTINEL' }),
      'SENTINEL.x.y',
    ];
    for (const token of tokens) {
      const result = await hs.verify(token);
      expect(result).toMatchObject({ ok: false });
      expect(JSON.stringify(result)).not.toMatch(/SENTINEL|correct horse/);
      expect(JSON.stringify(result)).not.toContain(token);
    }
  });
});
