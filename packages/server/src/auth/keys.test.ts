import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Algorithm, importPublicKeys, KeyError, openKeys } from './keys.ts';
import { createVerifier, MAX_KEYS_TRIED, type Verification, type VerifierOptions } from './verifier.ts';

const OPTIONS: VerifierOptions = {
  jwtAlgorithm: 'HS256',
  jwtSecret: '',
  publicKeyFile: '',
  jwksUrl: '',
  issuer: '',
  audience: '',
};
const PAIRS = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  EdDSA: generateKeyPairSync('ed25519'),
};
type Asymmetric = keyof typeof PAIRS;
const ALGORITHMS = Object.keys(PAIRS) as Asymmetric[];

/** A certificate of an Ed25519 key, whose private key was thrown away. */
const CERTIFICATE = [
  '-----BEGIN CERTIFICATE-----',
  'MIIBRjCB+aADAgECAhRC9Ek/Z0EFC2kA9tK/lsvjZItMwzAFBgMrZXAwGDEWMBQG',
  'A1UEAwwNYXJxb25idXMtdGVzdDAgFw0yNjExMjIxMzM4NDJaGA8yMTI2MTAyOTEz',
  'Mzg0MlowGDEWMBQGA1UEAwwNYXJxb25idXMtdGVzdDAqMAUGAytlcAMhANLLjSoX',
  'MULbWZa6T/tu93ypHvunwWKFCWWq99fVrSqco1MwUTAdBgNVHQ4EFgQUCQwa5UOe',
  'gEXQTYEf/3Y/WRBIBSAwHwYDVR0jBBgwFoAUCQwa5UOegEXQTYEf/3Y/WRBIBSAw',
  'DwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQAKakxZDkFmjedBszQvW75maDzS3wED',
  'pbT/B9j1OIXnlS2sdAnWEo4vyn6gE6jJW9G5BEbkB9dCHIMvgp8bm7YP',
  '-----END CERTIFICATE-----',
].join('\n');

const pem = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }) as string;
const jwk = (key: KeyObject, more: object = {}): object => ({ ...key.export({ format: 'jwk' }), ...more });

describe('public keys', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'arqonbus-keys-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** Verifies a token, signed with `algorithm` and `kid`, by a key file of the given text. */
  async function verify(algorithm: Asymmetric, text: string, kid?: string): Promise<Verification> {
    const publicKeyFile = join(folder, 'key');
    await writeFile(publicKeyFile, text);
    const verifier = await createVerifier({ ...OPTIONS, jwtAlgorithm: algorithm, publicKeyFile });
    const header = kid === undefined ? { alg: algorithm } : { alg: algorithm, kid };
    return verifier.verify(
      await new SignJWT({ sub: 'ada' }).setProtectedHeader(header).sign(PAIRS[algorithm].privateKey),
    );
  }

  it.each(ALGORITHMS)('%s is verified by PEM, JWK and JWK set', async (algorithm) => {
    const { publicKey } = PAIRS[algorithm];
    const set = { keys: ALGORITHMS.map((each) => jwk(PAIRS[each].publicKey, { kid: each })) };
    expect(await verify(algorithm, pem(publicKey))).toMatchObject({ ok: true });
    expect(await verify(algorithm, pem(publicKey), 'any')).toMatchObject({ ok: true });
    expect(await verify(algorithm, JSON.stringify(jwk(publicKey)), 'any')).toMatchObject({ ok: true });
    expect(await verify(algorithm, JSON.stringify(set), algorithm)).toMatchObject({ ok: true });
    expect(await verify(algorithm, ` \n${JSON.stringify(set)}`)).toMatchObject({ ok: true });
  });

  it.each(ALGORITHMS)('%s refuses a key id that the file does not name', async (algorithm) => {
    const named = jwk(PAIRS[algorithm].publicKey, { kid: 'k1' });
    expect(await verify(algorithm, JSON.stringify(named), 'k1')).toMatchObject({ ok: true });
    expect(await verify(algorithm, JSON.stringify(named), 'k2')).toMatchObject({ ok: false, reason: 'invalid token' });
    expect(await verify(algorithm, JSON.stringify({ keys: [named] }), 'k2')).toMatchObject({ ok: false });
  });

  const another = (algorithm: Asymmetric) =>
    ({
      RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
      ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      EdDSA: () => generateKeyPairSync('ed25519'),
    })[algorithm]();

  it.each(ALGORITHMS)('%s tries each key of a set that has no ids, broken ones too', async (algorithm) => {
    const own = jwk(PAIRS[algorithm].publicKey);
    const other = jwk(another(algorithm).publicKey);
    const broken = { ...own, x: '', n: '' };
    const weak = jwk(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey);
    for (const keys of [
      [own, other],
      [other, own],
      [weak, broken, other, own],
    ]) {
      const text = JSON.stringify({ keys });
      expect(await verify(algorithm, text)).toMatchObject({ ok: true });
      expect(await verify(algorithm, text, 'an id that no key has')).toMatchObject({ ok: true });
    }
    const refused = {
      ok: false,
      reason: 'invalid token',
      internal: expect.stringContaining('signed by none of the 2'),
    };
    const foreign = JSON.stringify({ keys: [other, jwk(another(algorithm).publicKey)] });
    expect(await verify(algorithm, foreign)).toMatchObject(refused);
    expect(await verify(algorithm, foreign, 'k')).toMatchObject(refused);
  });

  it('a token is compared with 16 keys at most, unless it names its own', async () => {
    const own = jwk(PAIRS.EdDSA.publicKey, { kid: 'own' });
    const others = Array.from({ length: MAX_KEYS_TRIED }, () => jwk(another('EdDSA').publicKey));
    expect(await verify('EdDSA', JSON.stringify({ keys: [...others.slice(1), own] }))).toMatchObject({ ok: true });
    const many = JSON.stringify({ keys: [...others, own] });
    expect(await verify('EdDSA', many)).toMatchObject({
      ok: false,
      internal: expect.stringContaining('of the 16 keys'),
    });
    expect(await verify('EdDSA', many, 'own')).toMatchObject({ ok: true });
  });

  it.each(ALGORITHMS)('%s refuses a signature of another key', async (algorithm) => {
    const other = another(algorithm);
    expect(await verify(algorithm, pem(other.publicKey))).toMatchObject({ ok: false, reason: 'invalid token' });
  });

  it.each(ALGORITHMS)('%s is not set up with the key of another algorithm', (algorithm) => {
    for (const other of ALGORITHMS.filter((each) => each !== algorithm)) {
      const { publicKey } = PAIRS[other];
      const texts = [pem(publicKey), JSON.stringify(jwk(publicKey)), JSON.stringify({ keys: [jwk(publicKey)] })];
      for (const text of texts) expect(() => importPublicKeys(text, algorithm, 'key.pem')).toThrow(KeyError);
    }
  });

  it('takes the key out of a certificate', () => {
    expect(() => importPublicKeys(CERTIFICATE, 'EdDSA', 'cert.pem')).not.toThrow();
    expect(() => importPublicKeys(CERTIFICATE, 'RS256', 'cert.pem')).toThrow('does not fit RS256');
  });

  it('refuses weak, foreign and misused keys', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey;
    expect(() => importPublicKeys(pem(weak), 'RS256', 'key.pem')).toThrow('1024 bits');
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
    expect(() => importPublicKeys(pem(p384), 'ES256', 'key.pem')).toThrow('P-256');
    const encryption = JSON.stringify(jwk(PAIRS.RS256.publicKey, { use: 'enc' }));
    expect(() => importPublicKeys(encryption, 'RS256', 'key.json')).toThrow(KeyError);
    const other = JSON.stringify(jwk(PAIRS.RS256.publicKey, { alg: 'RS512' }));
    expect(() => importPublicKeys(other, 'RS256', 'key.json')).toThrow(KeyError);
  });

  it('refuses private keys, without repeating them', () => {
    const { privateKey } = PAIRS.EdDSA;
    const { d = '' } = privateKey.export({ format: 'jwk' });
    const texts = [
      privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      JSON.stringify(jwk(privateKey)),
      JSON.stringify({ keys: [jwk(PAIRS.EdDSA.publicKey), jwk(privateKey)] }),
      JSON.stringify({ kty: 'oct', k: d }),
    ];
    for (const text of texts) {
      expect(() => importPublicKeys(text, 'EdDSA', 'key.pem')).toThrow(/^key\.pem holds a private key or a secret/);
    }
  });

  it.each([
    '',
    'no key',
    '{',
    '{}',
    '[]',
    'null',
    '{"keys":[]}',
    '{"keys":[null,1,{}]}',
    '-----BEGIN PUBLIC KEY-----\nSECRET',
  ])('refuses %j', (text) => {
    let message = '';
    try {
      importPublicKeys(text, 'RS256', 'key.pem');
    } catch (error) {
      expect(error).toBeInstanceOf(KeyError);
      message = (error as KeyError).message;
    }
    expect(message).toMatch(/^key\.pem /);
    expect(message).not.toContain('SECRET');
  });

  it('names a file that cannot be read', async () => {
    const options = { ...OPTIONS, jwtAlgorithm: 'RS256', publicKeyFile: join(folder, 'missing.pem') } as const;
    await expect(openKeys(options)).rejects.toThrow(/missing\.pem cannot be read \(ENOENT\)/);
  });
});

describe('the choice of a key source', () => {
  const jwksUrl = 'https://id.example/jwks';
  const bad: [name: string, options: Partial<VerifierOptions> & { jwtAlgorithm: Algorithm }, fault: RegExp][] = [
    ['no secret', { jwtAlgorithm: 'HS256' }, /set ARQONBUS_AUTH_JWT_SECRET/],
    [
      'public keys for HS256',
      { jwtAlgorithm: 'HS256', jwksUrl, publicKeyFile: 'a.pem' },
      /set ARQONBUS_AUTH_JWT_SECRET/,
    ],
    ['no public key', { jwtAlgorithm: 'RS256' }, /from one place/],
    ['a secret for RS256', { jwtAlgorithm: 'RS256', jwtSecret: 's' }, /from one place/],
    ['two places of public keys', { jwtAlgorithm: 'RS256', publicKeyFile: 'a.pem', jwksUrl }, /from one place/],
    ['a public key as secret', { jwtAlgorithm: 'HS256', jwtSecret: pem(PAIRS.RS256.publicKey) }, /looks like/],
    ['a JWK as secret', { jwtAlgorithm: 'HS256', jwtSecret: JSON.stringify(jwk(PAIRS.ES256.publicKey)) }, /looks like/],
    ['another scheme', { jwtAlgorithm: 'RS256', jwksUrl: 'file:///etc/passwd' }, /https:/],
    ['no URL', { jwtAlgorithm: 'RS256', jwksUrl: 'id.example/jwks' }, /https:/],
    [
      'credentials in the URL',
      { jwtAlgorithm: 'RS256', jwksUrl: 'https://u:p@id.example/' },
      /user name or a password/,
    ],
  ];
  it.each(bad)('refuses %s', async (_name, options, fault) => {
    const opened = createVerifier({ ...OPTIONS, ...options });
    await expect(opened).rejects.toThrow(KeyError);
    await expect(opened).rejects.toThrow(fault);
  });
});
