import type { LookupAddress } from 'node:dns';
import { BusError } from '@arqonbus/protocol';
import fc from 'fast-check';
import type { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { onEnd, openReceiver } from '../operators/webhook/rig.suite.ts';
import { checkDestination, guardedAgent, hostTest, isPublicAddress, publicOnly, type Resolve } from './destination.ts';

const NONE = hostTest([]);

function refused(url: string, allowed = NONE): BusError {
  try {
    checkDestination(url, allowed);
  } catch (error) {
    if (error instanceof BusError) return error;
    throw error;
  }
  throw new Error(`${url} was not refused`);
}

describe('checkDestination', () => {
  it.each([
    'https://example.com/hook?a=b',
    'http://example.com:8080/',
    'https://1.1.1.1/',
    'https://[2606:4700::1111]/',
  ])('takes %s', (url) => expect(checkDestination(url, NONE).href).toBe(url));

  it('drops the fragment, which is never sent', () => {
    expect(checkDestination('https://example.com/a#b', NONE).href).toBe('https://example.com/a');
  });

  it.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://0x7f.1/',
    'http://2130706433/',
    'http://017700000001/',
    'http://0x7f000001/',
    'http://①②⑦.0.0.1/',
    'http://127.0.0.1./',
    'http://0.0.0.0/',
    'http://0/',
    'http://10.1.2.3:9200/',
    'http://169.254.169.254/latest/meta-data/',
    'http://[::1]/',
    'http://[::]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::127.0.0.1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[fd00::1]/',
    'http://localhost/',
    'http://LOCALHOST./',
    'http://a.localhost:3000/',
  ])('refuses the special address %s', (url) => {
    expect(refused(url)).toMatchObject({ code: 'VALIDATION_ERROR', details: { field: 'url' } });
  });

  it.each([
    'nonsense',
    '/hook',
    'ftp://example.com/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'data:text/plain,x',
    'https://user@example.com/',
    'https://user:password@example.com/',
    'https://:password@example.com/',
    'http://256.1.1.1/',
    'http://',
  ])('refuses %s', (url) => {
    const { code, message, details } = refused(url);
    expect({ code, field: details.field }).toEqual({ code: 'VALIDATION_ERROR', field: 'url' });
    expect(message).not.toContain('password@');
  });
});

describe('hostTest', () => {
  it('opens what it names, in any spelling, and nothing else', () => {
    const allowed = hostTest(['127.0.0.1', '[::1]', '*.internal.example', 'Receiver']);
    for (const url of [
      'http://127.1/',
      'http://0x7f000001:80/',
      'http://[0:0:0:0:0:0:0:1]/',
      'http://a.internal.example/',
      'http://A.b.INTERNAL.example./',
      'http://receiver:8080/',
    ]) {
      expect(() => checkDestination(url, allowed)).not.toThrow();
    }
    for (const url of ['http://127.0.0.2/', 'http://[::]/', 'http://localhost/', 'http://10.0.0.1/']) {
      expect(refused(url, allowed).details).toMatchObject({ field: 'url' });
    }
    expect(allowed('internal.example')).toBe(false);
    expect(allowed('127.0.0.1.example.com')).toBe(false);
    expect(hostTest([])('')).toBe(false);
  });
});

describe('isPublicAddress', () => {
  it.each([
    '1.1.1.1',
    '8.8.8.8',
    '172.15.255.255',
    '172.32.0.1',
    '100.128.0.1',
    '2606:4700::1111',
    '2a00:1450:4001::1',
  ])('takes %s', (address) => expect(isPublicAddress(address)).toBe(true));

  it.each([
    ['this network', '0.0.0.0'],
    ['this network', '0.1.2.3'],
    ['private', '10.0.0.1'],
    ['private', '172.16.0.1'],
    ['private', '172.31.255.255'],
    ['private', '192.168.1.1'],
    ['carrier-grade NAT', '100.64.0.1'],
    ['loopback', '127.0.0.1'],
    ['loopback', '127.255.255.254'],
    ['link-local, cloud metadata', '169.254.169.254'],
    ['protocol assignments', '192.0.0.8'],
    ['documentation', '192.0.2.1'],
    ['6to4 relays', '192.88.99.1'],
    ['benchmarking', '198.18.0.1'],
    ['documentation', '203.0.113.7'],
    ['multicast', '224.0.0.1'],
    ['reserved', '240.0.0.1'],
    ['broadcast', '255.255.255.255'],
    ['unspecified', '::'],
    ['loopback', '::1'],
    ['IPv4-compatible', '::7f00:1'],
    ['IPv4-compatible', '::10.0.0.1'],
    ['IPv4-mapped', '::ffff:127.0.0.1'],
    ['IPv4-mapped', '::ffff:a00:1'],
    ['IPv4-translated', '::ffff:0:7f00:1'],
    ['NAT64', '64:ff9b::7f00:1'],
    ['NAT64, local', '64:ff9b:1::a00:1'],
    ['discard', '100::1'],
    ['unassigned', '100:0:0:1::1'],
    ['unassigned', '4000::1'],
    ['Teredo', '2001:0:1::'],
    ['ORCHID', '2001:20::1'],
    ['documentation', '2001:db8::1'],
    ['documentation', '3fff::1'],
    ['6to4', '2002:7f00:1::'],
    ['segment routing', '5f00::1'],
    ['unique local', 'fd12:3456::1'],
    ['link-local', 'fe80::1'],
    ['link-local with a zone', 'fe80::1%eth0'],
    ['site-local', 'fec0::1'],
    ['multicast', 'ff02::1'],
    ['no address', 'example.com'],
    ['no address', ''],
  ])('refuses %s: %s', (_what, address) => expect(isPublicAddress(address)).toBe(false));

  it('judges a mapped address as the IPv4 address in it, and refuses every other way to carry one', () => {
    const octet = fc.integer({ min: 0, max: 255 });
    fc.assert(
      fc.property(fc.tuple(octet, octet, octet, octet), (octets) => {
        const dotted = octets.join('.');
        const [a, b, c, d] = octets;
        const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
        expect(isPublicAddress(`::ffff:${hex}`)).toBe(isPublicAddress(dotted));
        for (const form of [`::${hex}`, `64:ff9b::${hex}`, `2002:${hex}::1`, `::ffff:0:${hex}`, `2001:0:${hex}::`]) {
          expect(isPublicAddress(form)).toBe(false);
        }
      }),
    );
  });
});

const LOOPBACK: LookupAddress = { address: '127.0.0.1', family: 4 };
const PUBLIC: LookupAddress = { address: '93.184.215.14', family: 4 };

function open(allowHosts: readonly string[], resolve?: Resolve): Agent {
  const agent = guardedAgent(hostTest(allowHosts), resolve);
  onEnd(() => agent.destroy());
  return agent;
}

function post(agent: Agent, origin: string): Promise<unknown> {
  return agent
    .request({ origin: new URL(origin).origin, path: '/', method: 'POST', body: '{"envelope":{"payload":{}}}' })
    .then(
      ({ statusCode }) => statusCode,
      ({ code }: NodeJS.ErrnoException) => code,
    );
}

describe('guardedAgent', () => {
  it('connects to no special literal, however it is spelled', async () => {
    const receiver = await openReceiver();
    const agent = open([]);
    for (const host of [
      '127.0.0.1',
      '127.1',
      '0x7f.1',
      '0x7f000001',
      '2130706433',
      '017700000001',
      '0.0.0.0',
      '0',
      '[::ffff:127.0.0.1]',
      '[::127.0.0.1]',
      '[::1]',
      '[::]',
    ]) {
      expect(await post(agent, `http://${host}:${receiver.port}`), host).toBe('FORBIDDEN_ADDRESS');
      expect(await post(agent, `https://${host}:${receiver.port}`), host).toBe('FORBIDDEN_ADDRESS');
    }
    expect(receiver.connections).toBe(0);
  });

  it('connects to no name that resolves to a special address, be it one of several', async () => {
    const receiver = await openReceiver();
    const answers: LookupAddress[][] = [
      [LOOPBACK],
      [PUBLIC, LOOPBACK],
      [LOOPBACK, PUBLIC],
      [{ address: '::ffff:127.0.0.1', family: 6 }],
      [{ address: '::1', family: 6 }, PUBLIC],
      [{ address: '64:ff9b::7f00:1', family: 6 }],
      [],
    ];
    for (const answer of answers) {
      const agent = open([], async () => answer);
      expect(await post(agent, `http://name.example:${receiver.port}`)).toBe('FORBIDDEN_ADDRESS');
    }
    expect(receiver.connections).toBe(0);
  });

  it('asks once for a connection and goes where that answer said: a name cannot change in between', async () => {
    const receiver = await openReceiver();
    const asked: string[] = [];
    // Public when it is checked, loopback ever after: what DNS rebinding hopes for.
    const rebinding: Resolve = async (hostname) => {
      asked.push(hostname);
      return asked.length === 1 ? [PUBLIC] : [LOOPBACK];
    };
    const checked = await publicOnly(rebinding)('name.example');
    expect(checked).toEqual([PUBLIC]);
    expect(asked).toEqual(['name.example']);
    const agent = open([], rebinding);
    expect(await post(agent, `http://name.example:${receiver.port}`)).toBe('FORBIDDEN_ADDRESS');
    expect(asked.length).toBe(2);
    expect(receiver.connections).toBe(0);
  });

  it('connects to allowed hosts by the address that was resolved, keeping the name in Host', async () => {
    const receiver = await openReceiver();
    const agent = open(['*.internal.example'], async () => [LOOPBACK]);
    expect(await post(agent, `http://a.internal.example:${receiver.port}`)).toBe(204);
    expect(receiver.requests[0]?.headers.host).toBe(`a.internal.example:${receiver.port}`);
    expect(await post(agent, `http://internal.example:${receiver.port}`)).toBe('FORBIDDEN_ADDRESS');
  });

  it('does not open an address to the names that resolve to it', async () => {
    const receiver = await openReceiver();
    const agent = open(['127.0.0.1'], async () => [LOOPBACK]);
    expect(await post(agent, `http://name.example:${receiver.port}`)).toBe('FORBIDDEN_ADDRESS');
    expect(await post(agent, `http://127.0.0.1:${receiver.port}`)).toBe(204);
  });

  it('takes no proxy from the environment', async () => {
    const [receiver, proxy] = [await openReceiver(), await openReceiver()];
    const before = { ...process.env };
    Object.assign(process.env, { HTTP_PROXY: proxy.url, http_proxy: proxy.url, ALL_PROXY: proxy.url });
    try {
      expect(await post(open(['127.0.0.1']), receiver.url)).toBe(204);
    } finally {
      process.env = before;
    }
    expect(proxy.connections).toBe(0);
  });
});
