import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ClaimError } from './claims.ts';
import { KeyError } from './keys.ts';
import { inspectToken, mintToken, type SigningKey } from './mint.ts';
import { createVerifier, type Verifier, type VerifierOptions } from './verifier.ts';

const HS: SigningKey = { algorithm: 'HS256', secret: 'a secret that is long enough to be one' };
const OPTIONS: VerifierOptions = {
  jwtAlgorithm: 'HS256',
  jwtSecret: HS.secret,
  publicKeyFile: '',
  jwksUrl: '',
  issuer: 'dev',
  audience: 'bus',
};

describe('minting tokens', () => {
  let folder: string;
  let verifier: Verifier;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arqonbus-mint-'));
    verifier = await createVerifier(OPTIONS);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('makes what the server accepts, claim by claim', async () => {
    const token = await mintToken(HS, {
      sub: 'ada',
      role: 'admin',
      tenant: 'acme',
      publish: ['a:*'],
      subscribe: [],
      grants: { store_read: ['desk/*'] },
      telemetry: true,
      durable: true,
      expiresInSeconds: 60,
      issuer: 'dev',
      audience: 'bus',
      keyId: 'k1',
    });
    const result = await verifier.verify(token);
    expect(result).toMatchObject({
      ok: true,
      principal: {
        subject: 'ada',
        role: 'admin',
        tenant: 'acme',
        telemetry: true,
        durable: true,
        grants: { publish: { patterns: ['a:*'] }, store_read: { patterns: ['desk/*'] } },
      },
    });
    const { header, claims, verification } = await inspectToken(token);
    expect(header).toEqual({ alg: 'HS256', typ: 'JWT', kid: 'k1' });
    expect(claims).toMatchObject({
      sub: 'ada',
      tenant_id: 'acme',
      publish: ['a:*'],
      subscribe: [],
      iss: 'dev',
      aud: 'bus',
    });
    expect((claims.exp as number) - (claims.iat as number)).toBe(60);
    expect(verification).toBeNull();
  });

  it('leaves out what was not asked for', async () => {
    const { claims } = await inspectToken(await mintToken(HS, {}));
    expect(Object.keys(claims)).toEqual(['iat']);
  });

  it.each(['RS256', 'ES256', 'EdDSA'] as const)('signs %s by a private key in PEM', async (algorithm) => {
    const { privateKey, publicKey } = {
      RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
      ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      EdDSA: () => generateKeyPairSync('ed25519'),
    }[algorithm]();
    const publicKeyFile = join(folder, `${algorithm}.pem`);
    await writeFile(publicKeyFile, publicKey.export({ type: 'spki', format: 'pem' }));
    const key = { algorithm, privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string };
    const token = await mintToken(key, { sub: 'ada' });
    const judge = await createVerifier({
      ...OPTIONS,
      jwtAlgorithm: algorithm,
      jwtSecret: '',
      publicKeyFile,
      issuer: '',
      audience: '',
    });
    expect(await judge.verify(token)).toMatchObject({ ok: true, principal: { subject: 'ada' } });
  });

  it.each([
    [{ role: 'root' }, '"role"'],
    [{ tenant: '*' }, '"tenant_id"'],
    [{ sub: '' }, '"sub"'],
    [{ publish: ['*'] }, '"publish"'],
  ])('refuses %j, which a server would refuse', async (request, claim) => {
    const minted = mintToken(HS, request);
    await expect(minted).rejects.toThrow(ClaimError);
    await expect(minted).rejects.toThrow(claim);
  });

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
    'refuses a lifetime of %d s',
    async (expiresInSeconds) => {
      await expect(mintToken(HS, { expiresInSeconds })).rejects.toThrow(RangeError);
    },
  );

  it('refuses keys that do not fit, without repeating them', async () => {
    const ed = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    await expect(mintToken({ algorithm: 'RS256', privateKey: ed }, {})).rejects.toThrow(/does not fit RS256/);
    await expect(mintToken({ algorithm: 'HS256', secret: '' }, {})).rejects.toThrow(KeyError);
    await expect(mintToken({ algorithm: 'HS256', secret: ed }, {})).rejects.toThrow(KeyError);
    await expect(mintToken({ algorithm: 'EdDSA', privateKey: 'SENTINEL' }, {})).rejects.toThrow(/^(?!.*SENTINEL)/);
  });
});

describe('inspecting tokens', () => {
  it('says what a server would say', async () => {
    const verifier = await createVerifier({ ...OPTIONS, issuer: '', audience: '' });
    expect((await inspectToken(await mintToken(HS, { sub: 'ada' }), verifier)).verification).toMatchObject({
      ok: true,
    });
    const foreign = await mintToken({ algorithm: 'HS256', secret: 'another' }, { sub: 'eve' });
    const inspection = await inspectToken(foreign, verifier);
    expect(inspection.claims.sub).toBe('eve');
    expect(inspection.verification).toMatchObject({ ok: false, reason: 'invalid token' });
  });

  it.each(['', 'x', 'a.b.c', '..', 'a'.repeat(9_000)])('refuses %j', async (text) => {
    await expect(inspectToken(text)).rejects.toThrow(TypeError);
  });
});
