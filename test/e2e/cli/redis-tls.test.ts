import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasRedis, PrivateRedis } from '../../fixtures/private-redis.ts';
import { BusProcess } from '../faults/bus-process.ts';
import { Arqon } from './arqon.ts';

describe.runIf(hasRedis())('a Redis server with TLS', () => {
  let arqon: Arqon;
  let server: PrivateRedis;
  let ca: string;

  beforeAll(async () => {
    arqon = new Arqon();
    ca = join(arqon.folder, 'cert.pem');
    const key = join(arqon.folder, 'key.pem');
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=elsewhere';
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', ca];
    execFileSync('openssl', [...request.split(' '), ...names], { stdio: 'ignore' });
    server = await PrivateRedis.start({ tls: { cert: ca, key } });
  });
  afterAll(async () => {
    await server.stop();
    await arqon.stop();
  });

  it('stores for a bus that trusts its certificate', async () => {
    const env = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: server.url(), NODE_EXTRA_CA_CERTS: ca };
    const bus = await BusProcess.start('secure', { ...env, ARQONBUS_STORAGE_MODE: 'strict' });
    const answer = await fetch(`${bus.http}/v1/publish`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ room: 'science', channel: 'general', payload: { n: 1 } }),
    });
    expect(await answer.json()).toMatchObject({ stored: 'memory', sequence: 1 });
    await bus.stop();
  });

  it.each([
    [
      'a certificate that is not trusted',
      'localhost',
      /not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\).*NODE_EXTRA_CA_CERTS/,
    ],
    [
      'a certificate of another host',
      'trusted',
      /The certificate of rediss:\/\/localhost:\d+\/0 is that of another host/,
    ],
  ])('is told apart by one sentence: %s', async (_fault, trust, sentence) => {
    const url = server.url().replace('127.0.0.1', 'localhost');
    const env = { ARQONBUS_STORAGE_BACKEND: 'redis', ARQONBUS_REDIS_URL: url };
    const { code, stderr } = await arqon.run(['storage', 'check'], {
      env: trust === 'trusted' ? { ...env, NODE_EXTRA_CA_CERTS: ca } : env,
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(sentence);
  });
});
