import { FEATURES, PROTOCOL_VERSION } from '@arqonbus/protocol';
import { expect, it } from 'vitest';
import type { Session } from './session.ts';
import { type ServerFacts, WelcomeText } from './welcome.ts';

const session = { id: 'arq_client_a', principal: { role: 'user', tenant: 'acme' } } as unknown as Session;

it('describes the connection and the server, as it is now', () => {
  let http: string | null = null;
  const facts = { httpUrl: () => http, node: 'n', version: '1', maxMessageBytes: 10, pingIntervalMs: 20 };
  const welcome = new WelcomeText(facts satisfies ServerFacts);
  const read = (...given: Parameters<WelcomeText['of']>): unknown => JSON.parse(welcome.of(...given)).payload;
  const server = { name: 'ArqonBus', version: '1', protocol: PROTOCOL_VERSION, node: 'n' };
  const first = {
    event: 'welcome',
    welcome: 'Connected to ArqonBus',
    client_id: 'arq_client_a',
    role: 'user',
    tenant: 'acme',
    room: null,
    channel: null,
    server,
    features: [...FEATURES],
    limits: { max_message_bytes: 10, ping_interval_ms: 20 },
  };
  expect(read(session, null)).toEqual(first);
  expect(read(session, { room: 'r', channel: 'c' })).toEqual({ ...first, room: 'r', channel: 'c' });
  const posting = { ...session, postId: 'arq_post_"' } as Session;
  expect(read(posting, null)).toEqual({ ...first, session: 'arq_post_"' });

  http = 'http://h';
  facts.maxMessageBytes = 11;
  facts.pingIntervalMs = 21;
  expect(read(session, null)).toEqual({
    ...first,
    server: { ...server, http: 'http://h' },
    limits: { max_message_bytes: 11, ping_interval_ms: 21 },
  });
});
