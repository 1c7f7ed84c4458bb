import type { LookupAddress } from 'node:dns';
import type { Agent } from 'undici';
import { describe, expect, it } from 'vitest';
import { hostTest } from './destination.ts';
import { guardedAgent, publicOnly, type Resolve } from './guarded-agent.ts';
import { onEnd, openReceiver } from './rig.suite.ts';

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
