import { execFileSync } from 'node:child_process';
import type { Envelope } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import { asCode, asCurl } from './snippets.ts';

const envelope = {
  room: 'science',
  channel: 'explore',
  payload: { text: 'it\'s $HOME `id` \\ "quoted"\n' },
} as unknown as Envelope;

it('makes a command from which a shell takes nothing but the text', () => {
  const command = asCurl('http://127.0.0.1:8080/', envelope, 'none').replace(/^curl/, 'printf "%s\\n"');
  const words = execFileSync('sh', ['-c', command], { encoding: 'utf8' }).trimEnd().split('\n');
  expect(words.slice(0, 3)).toEqual(['-X', 'POST', 'http://127.0.0.1:8080/v1/publish']);
  expect(JSON.parse(words.at(-1) as string)).toEqual(envelope);
});

it('names a variable for the secret, and never the secret', () => {
  expect(asCurl('http://x/', envelope, 'token')).toContain('"Authorization: Bearer $ARQONBUS_TOKEN"');
  expect(asCurl('http://x/', envelope, 'key')).toContain('"X-API-Key: $ARQONBUS_HTTP_API_KEY"');
});

it('writes code that a program can hold', () => {
  expect(asCode(envelope)).toMatch(/^await client\.publish\("science:explore", \{/);
  expect(asCode({ ...envelope, channel: '*' } as Envelope)).toContain('publish("science",');
});
