// Receives webhooks and accepts only requests that are signed (Standard Webhooks), recent, and new.
//
//   ARQONBUS_WEBHOOK_ALLOW_HOSTS=127.0.0.1 npx arqon serve       a bus that may post to this machine
//   node --import tsx examples/webhook-receiver.ts               registers itself for science:explore and waits
//   npx arqon pub science:explore '{"text":"hello"}'
//
// ARQONBUS_WS_URL is the address of the bus, the first argument the channel. With --limit N it exits after N events.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { ArqonBusClient } from '@arqonbus/client';

const { ARQONBUS_WS_URL: url = 'ws://127.0.0.1:9100', ARQONBUS_TOKEN: token } = process.env;
const { values, positionals } = parseArgs({ allowPositionals: true, options: { limit: { type: 'string' } } });
const limit = Number(values.limit ?? Number.POSITIVE_INFINITY);
const [room = 'science', channel = 'explore'] = (positionals[0] ?? 'science:explore').split(':');

const MAX_AGE_SECONDS = 300;
const MAX_BODY_BYTES = 2_097_152;
const secret = `whsec_${randomBytes(32).toString('base64')}`;

interface Delivery {
  readonly delivery_id: string;
  readonly attempt: number;
  readonly envelope: { readonly from: string; readonly payload: unknown };
}

/** Whether the bus signed this body within the last five minutes. */
function isAuthentic(headers: IncomingHttpHeaders, body: Buffer): boolean {
  const { 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': given } = headers;
  if (typeof id !== 'string' || typeof time !== 'string' || typeof given !== 'string') return false;
  if (!(Math.abs(Date.now() / 1000 - Number(time)) < MAX_AGE_SECONDS)) return false;
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const digest = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest('base64');
  const expected = Buffer.from(`v1,${digest}`);
  // While a secret is being replaced there may be several signatures.
  return given.split(' ').some((one) => {
    const signature = Buffer.from(one);
    return signature.length === expected.length && timingSafeEqual(signature, expected);
  });
}

async function read(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

// A delivery is repeated if its answer was lost. A real receiver stores these ids together with the events.
const seen = new Set<string>();

async function receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await read(request);
  // The signature covers the bytes as they came: it is checked before anything is parsed.
  if (body === null || !isAuthentic(request.headers, body)) {
    console.log('refused a request without a valid signature');
    response.writeHead(body === null ? 413 : 401).end();
    return;
  }
  const { delivery_id, attempt, envelope } = JSON.parse(body.toString('utf8')) as Delivery;
  response.writeHead(204).end();
  if (seen.has(delivery_id)) return;
  seen.add(delivery_id);
  console.log(`attempt ${attempt} from ${envelope.from}: ${JSON.stringify(envelope.payload)}`);
  if (seen.size >= limit) response.once('finish', () => void stop());
}

const server = createServer((request, response) => {
  receive(request, response).catch((error: unknown) => {
    console.error(error);
    response.destroy();
  });
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

// The rule exists while its owner is connected; with `durable: true` (for admins) it outlives the connection.
const client = new ArqonBusClient({ url, screenName: 'Receiver', ...(token === undefined ? {} : { token }) });
await client.connect();
const { rule_id } = await client.webhooks.register({ url: own, room, channel, secret });

async function stop(): Promise<void> {
  await client.close();
  server.close();
  server.closeIdleConnections();
}
process.once('SIGINT', () => void stop());
console.log(`${rule_id} posts ${room}:${channel} to ${own}`);
