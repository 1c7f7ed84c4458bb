import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';

/** Retitles the window, clears the screen (by C0 and by C1), hides text, turns it around, and ends in a tag. */
export const EVIL = '\u001b]0;OWNED\u0007\u001b[2J\u009b2J\u001b[8m\r\n\t\u202eevil\u2066\u200b\u{e0041}';

const NOW = new Date().toISOString();
const ENVELOPE = {
  ...{ version: '1.0', id: EVIL, type: 'event', room: EVIL, channel: EVIL, from: EVIL, timestamp: NOW },
  ...{ payload: { [EVIL]: EVIL }, metadata: { sequence: 1, epoch: EVIL } },
};
const CHANGE = {
  event: 'store_changed',
  namespace: 'default',
  key: EVIL,
  operation: EVIL,
  version: EVIL,
  value: [EVIL],
};
const SERVER = { name: 'ArqonBus', version: EVIL, protocol: EVIL, node: EVIL, uptime_seconds: 1, build: {} };
const SENDER = { subject: EVIL, name: EVIL, type: EVIL, role: EVIL };
const LEASE = { lease_id: EVIL, token: 1, expires_at: EVIL, keys: [EVIL], namespace: EVIL, subject: EVIL };
const GROUP = {
  ...{ room: EVIL, channel: EVIL, group: EVIL, key: EVIL, owner: EVIL, dead_letter: EVIL, created_at: EVIL },
  ...{ positions: { [EVIL]: { sequence: EVIL, epoch: EVIL } }, ack_wait_seconds: EVIL, max_attempts: EVIL },
  ...{ backoff_seconds: [EVIL], pending: EVIL, unacked: EVIL, members: EVIL, handled: EVIL },
};
const MEMBER = { client_id: `${EVIL}2`, sender: SENDER, state: { [EVIL]: EVIL }, joined_at: EVIL, channel: EVIL };
const CHANNEL = {
  room: EVIL,
  channel: EVIL,
  members: 1,
  type: EVIL,
  created_at: EVIL,
  epoch: EVIL,
  sequence: 1,
  events: EVIL,
  bytes: EVIL,
};
const CLIENT = { client_id: EVIL, client_type: EVIL, screen_name: EVIL, rooms: { [EVIL]: [EVIL] }, node: EVIL };

const SCHEMA = { mode: EVIL, schema: { type: 'object', description: EVIL, properties: { [EVIL]: { const: EVIL } } } };

/** Whatever a command answers: every field that a verb shows, and its text is hostile. */
const RESULT = {
  ...{
    room: EVIL,
    channel: EVIL,
    sequence: 0,
    epoch: 'e',
    members: 1,
    timestamp: NOW,
    version: 1,
    keys: [EVIL],
    next: EVIL,
  },
  ...{ rooms: [{ ...CHANNEL, channels: 1, hardcoded: true }], channels: [CHANNEL], clients: [CLIENT] },
  ...{ server: SERVER, connections: { active: EVIL, total: EVIL }, messages: [ENVELOPE], previous: null },
  ...{ storage: { backend: EVIL, healthy: true }, found: true, value: EVIL, deleted: true, watch_id: 'w', mode: EVIL },
  ...{
    rule_id: EVIL,
    url: EVIL,
    on: [EVIL],
    rules: [{ rule_id: EVIL, match: EVIL, url: EVIL, room: EVIL, channel: EVIL, on: [EVIL], schema: SCHEMA }],
    stream_id: EVIL,
    offset: EVIL,
    stored: EVIL,
    requeued: EVIL,
  },
  ...{
    dead_letters: [{ delivery_id: EVIL, last_error: EVIL, failed_at: EVIL, attempts: 1 }],
    cron: EVIL,
    job_id: EVIL,
  },
  ...{
    jobs: [{ job_id: EVIL, room: EVIL, channel: EVIL, cron: EVIL, timezone: EVIL, next_run_at: EVIL }],
    timezone: EVIL,
  },
  ...{ substrates: [{ substrate_id: EVIL, name: EVIL, kind: EVIL }], substrate_id: EVIL, event_id: EVIL },
  ...{ events: [{ event_id: EVIL, signal: EVIL, payload: { [EVIL]: EVIL } }], enabled: true, counts: {}, limits: {} },
  ...{ ...LEASE, leases: [LEASE], ...GROUP, groups: [GROUP], retried: EVIL, position: { sequence: 1, epoch: EVIL } },
  ...{ base: [], effective: { [EVIL]: EVIL }, origins: { [EVIL]: EVIL }, may: { publish: true } },
  ...{ receivers: { groups: [{ group: EVIL, source: EVIL }] }, hooks: [{ on: EVIL, host: EVIL }] },
  ...{ publish: { allowed: false, reason: EVIL, error_code: EVIL }, revocations: [{ jti: EVIL, created_by: EVIL }] },
  ...{ blocks: [{ subject: EVIL, until: EVIL, reason: EVIL, created_by: EVIL }] },
  ...{ presence: { version: 1, count: 1, members: [MEMBER] } },
  ...{ removed_events: EVIL, removed_count: EVIL, remaining_count: EVIL, redaction_patterns: [EVIL], settings: EVIL },
};

const STATUS = {
  ...{
    server: SERVER,
    connections: { active: EVIL, total: EVIL },
    rooms: { active: EVIL },
    channels: { active: EVIL },
  },
  ...{ messages: { total: EVIL, rate_per_minute: EVIL }, storage: { backend: EVIL, healthy: true } },
  ...{ endpoints: { websocket: EVIL, telemetry: EVIL, http: EVIL }, channels_detail: [CHANNEL] },
};

interface Sent {
  readonly id: string;
  readonly type: string;
  readonly command?: string;
  readonly args?: { readonly group?: string; readonly room?: string; readonly channel?: string };
}

export interface HostileBus {
  /** Commands succeed, with hostile results. */
  readonly url: string;
  /** Commands and messages are refused, with hostile sentences. */
  readonly errors: string;
  /** The handshake is refused, with a hostile sentence. */
  readonly refusing: string;
  /** Nothing that is sent is JSON, or an envelope. */
  readonly nonsense: string;
  readonly http: string;
  stop(): Promise<void>;
}

/** A bus whose every word tries to drive the terminal of who reads it. */
export async function startHostileBus(): Promise<HostileBus> {
  const sockets = new WebSocketServer({ noServer: true });
  const server = createServer((request, response) => {
    const isRefused = request.url?.startsWith('/refused') === true;
    const body =
      request.url === '/metrics'
        ? `arqonbus_casil_decisions_total{decision="${EVIL}"} 1`
        : JSON.stringify({ ...STATUS, ...SERVER });
    response.writeHead(isRefused ? 403 : 200);
    response.end(isRefused ? JSON.stringify({ error: EVIL }) : body);
  });
  server.on('upgrade', (request, socket, head) => {
    const mode = new URL(request.url ?? '/', 'ws://host').pathname;
    if (mode === '/refusing') {
      const body = Buffer.from(JSON.stringify({ error: EVIL, error_code: EVIL, details: EVIL }));
      socket.write(`HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`);
      socket.end(body);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (peer) => {
      const send = (envelope: object): void =>
        peer.send(JSON.stringify({ from: 'arqonbus', timestamp: NOW, ...envelope }));
      const limits = { max_message_bytes: 1_000_000, ping_interval_ms: 20_000 };
      const features = [
        'groups',
        'wait',
        'presence-state',
        'leases',
        'patterns',
        'mailboxes',
        'receipts',
        'options',
        'streams',
      ];
      const welcome = { event: 'welcome', client_id: EVIL, role: EVIL, tenant: EVIL, server: SERVER, limits, features };
      if (mode === '/nonsense') peer.send(`${EVIL}{`);
      send({ ...ENVELOPE, type: 'system', payload: welcome });
      for (const frame of mode === '/nonsense' ? [`${EVIL}{`, 'null', '3', '[]', `"${'\u009b'}"`] : [])
        peer.send(frame);
      for (const type of ['event', 'private', EVIL, '__proto__']) send({ ...ENVELOPE, type });
      if (mode !== '/') send({ ...ENVELOPE, type: 'error', error: EVIL, error_code: EVIL });
      peer.on('message', (data) => {
        const { id, type, command, args } = JSON.parse(String(data)) as Sent;
        const failed = mode === '/errors' ? { status: 'error', error: EVIL, error_code: EVIL, payload: {} } : {};
        const answer = { status: 'success', payload: RESULT, request_id: id, id: EVIL };
        if (type === 'command') send({ type: 'command_response', command, ...answer, ...failed });
        else if (mode === '/errors') send({ type: 'error', ...answer, ...failed });
        else send({ type: 'ack', ...answer, payload: { id: EVIL, sequence: EVIL, delivered: EVIL, stored: EVIL } });
        if (type === 'private') {
          send({ ...ENVELOPE, type, request_id: id });
          send({ ...ENVELOPE, type: 'ack', request_id: id, payload: { stage: 'handled', by: { subject: EVIL } } });
        }
        if (args?.group !== undefined && command === 'join_channel') {
          const { group, room, channel } = args;
          const delivery = { group, attempt: 1, token: EVIL, deadline: EVIL };
          send({ ...ENVELOPE, room, channel, metadata: { delivery } });
        }
        if (command === 'op.store.watch') send({ type: 'system', payload: CHANGE });
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `ws://${at}`,
    errors: `ws://${at}/errors`,
    refusing: `ws://${at}/refusing`,
    nonsense: `ws://${at}/nonsense`,
    http: `http://${at}`,
    async stop() {
      for (const peer of sockets.clients) peer.terminate();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
