import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { afterEach, expect, it } from 'vitest';
import { Agent } from './agent.ts';
import type { Answer } from './agents.suite.ts';
import { serveOverStdio } from './stdio.ts';
import { answer, type Tool } from './tool.ts';
import { READ } from './tools/read.ts';

/** Where nobody listens. */
const NOWHERE = 'ws://127.0.0.1:1';
const cleanups: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

async function call(name: string, args: object): Promise<[isError: boolean, answer: Answer]> {
  const agent = new Agent({ url: NOWHERE, lineMs: 50 }, () => {});
  cleanups.push(() => agent.close());
  const tool = READ.find((one) => one.name === name) as Tool;
  const { content, isError = false } = await answer(tool, { agent, signal: new AbortController().signal }, args);
  const [first] = content as { text: string }[];
  return [isError === true, JSON.parse(first?.text ?? '')];
}

it('waits its whole time for a bus that is away, and keeps the cursors', async () => {
  const places = { 'lab:a': '7@x', 'lab:b': '', inbox: '' };
  expect(await call('wait', { places, seconds: 0.2 })).toEqual([
    false,
    { note: expect.any(String), messages: [], places, bus: 'away; wait again' },
  ]);
});

it('says of what does not wait that the bus is away', async () => {
  expect(await call('read', { channel: 'lab:a' })).toEqual([true, expect.objectContaining({ retryable: true })]);
});

it('offers channels as tools before the bus is there, and ends without a complaint', async () => {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const lines = createInterface({ input: output });
  const reports: Error[] = [];
  const ended = serveOverStdio({
    url: NOWHERE,
    channels: ['lab:talk'],
    input,
    output,
    report: (error) => reports.push(error),
    signal: new AbortController().signal,
  });
  const ask = async (id: number, method: string, params: object): Promise<Answer> => {
    input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
    const [line] = await once(lines, 'line');
    return JSON.parse(line);
  };
  const clientInfo = { name: 'host', version: '1' };
  await ask(1, 'initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo });
  input.write('{"jsonrpc":"2.0","method":"notifications/initialized"}\n');
  const { result } = await ask(2, 'tools/list', {});
  expect(result.tools.find(({ name }: { name: string }) => name === 'publish_lab_talk')?.inputSchema).toEqual({
    type: 'object',
  });
  input.end();
  await ended;
  expect(reports).toEqual([]);
});
