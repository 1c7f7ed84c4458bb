import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findTool } from '../../scripts/go-tools.ts';
import { CHANNEL } from '../envelope.ts';
import { ONE_THREAD, toolVersion } from './launch.ts';
import type { Dialect, Launch, LaunchContext, Peer } from './peer.ts';

/** Its JSON protocol. It combines several messages in one frame, so they are counted by their marks. */
const DIALECT: Dialect = {
  transport: 'websocket',
  path: '/connection/websocket',
  frames: 'text',
  opening: [{ send: '{"id":1,"connect":{}}', expect: '"connect":{' }],
  subscribe: (channel) => [{ send: `{"id":2,"subscribe":{"channel":"${channel}"}}`, expect: '"subscribe":{' }],
  publish: (envelope, channel) => `{"id":3,"publish":{"channel":"${channel}","data":${envelope}}}`,
  delivery: { kind: 'mark' },
  refusal: '"error":{',
};

/** Allows everything to every client, and sends no ping during a run, because the generator would not answer it. */
function launch({ port, directory }: LaunchContext, channels: object): Launch {
  const config = join(directory, 'centrifugo.json');
  const settings = {
    http_server: { address: '127.0.0.1', port: String(port) },
    client: { insecure: true, ping_interval: '600s', allowed_origins: ['*'] },
    channel: {
      without_namespace: { allow_subscribe_for_client: true, allow_publish_for_client: true, ...channels },
    },
    uni_sse: { enabled: true },
    log: { level: 'warn' },
  };
  writeFileSync(config, JSON.stringify(settings));
  return { command: findTool('centrifugo')!, args: ['--config', config], env: ONE_THREAD };
}

const VERSIONED: Pick<Peer, 'version' | 'unavailable'> = {
  version: () => toolVersion('centrifugo', 'version'),
  unavailable: () =>
    findTool('centrifugo') === undefined ? 'there is no centrifugo: `npm run tools -- centrifugo`' : undefined,
};

/** With default settings: it parses every message but adds no stamps, and keeps no history. */
export const centrifugo: Peer = {
  ...VERSIONED,
  name: 'centrifugo',
  title: 'Centrifugo',
  dialect: DIALECT,
  lacks: { resume: 'keeps no history as it comes: see the row with history', channels: 'keeps no history as it comes' },
  launch: (context) => launch(context, {}),
};

/** With as much history per channel as ArqonBus, from which clients recover. */
export const centrifugoHistory: Peer = {
  ...VERSIONED,
  name: 'centrifugo-history',
  title: 'Centrifugo',
  note: 'with history',
  dialect: DIALECT,
  resume: {
    position: (answer) => {
      const epoch = /"epoch":"([^"]+)"/.exec(answer)?.[1];
      if (epoch === undefined) throw new Error(`there is no position in ${answer}`);
      // Zero is omitted.
      return `"epoch":"${epoch}","offset":${/"offset":(\d+)/.exec(answer)?.[1] ?? 0}`;
    },
    subscribe: (channel, position) => `{"id":2,"subscribe":{"channel":"${channel}","recover":true,${position}}}`,
  },
  only: ['resume', 'channels'],
  launch: (context) => launch(context, { history_size: 500, history_ttl: '24h', force_recovery: true }),
};

/** The same server as `centrifugo`, with subscribers over unidirectional server-sent events. */
export const centrifugoSse: Peer = {
  ...VERSIONED,
  name: 'centrifugo-sse',
  title: 'Centrifugo',
  note: 'server-sent events',
  dialect: DIALECT,
  subscriber: {
    port: 'bus',
    dialect: {
      ...DIALECT,
      transport: 'sse',
      path: `/connection/uni_sse?cf_connect=${encodeURIComponent(`{"subs":{"${CHANNEL}":{}}}`)}`,
      opening: [{ expect: '"client"' }],
      subscribe: () => [],
    },
  },
  only: ['sse'],
  launch: (context) => launch(context, {}),
};
