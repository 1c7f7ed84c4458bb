import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, ask } from '../../../test/fixtures/http.ts';
import { Peer } from '../../../test/fixtures/peer.ts';
import { startTestServer } from '../../../test/fixtures/start.ts';
import { Watcher } from '../../../test/fixtures/watcher.ts';
import { createLog } from './log.ts';

/** A port that somebody else listens on. */
async function takenPort(): Promise<{ port: number; free: () => Promise<void> }> {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve));
  const { port } = holder.address() as { port: number };
  return { port, free: () => new Promise((resolve) => holder.close(() => resolve())) };
}

describe('opening', () => {
  it.each(['ARQONBUS_TELEMETRY_PORT', 'ARQONBUS_HTTP_PORT'])(
    'leaves nothing open when %s is taken',
    async (setting) => {
      const [taken, bus] = [await takenPort(), await takenPort()];
      await bus.free();
      const ports = { ARQONBUS_SERVER_PORT: String(bus.port), [setting]: String(taken.port) };
      await expect(startTestServer(ports)).rejects.toThrow(`Port ${taken.port} on 127.0.0.1 is in use`);
      await expect(ask(`http://127.0.0.1:${bus.port}/`)).rejects.toThrow(/ECONNREFUSED/);
      await taken.free();
    },
  );

  it('takes the next free ports for telemetry and HTTP where nobody asked for theirs', async () => {
    const taken = [await takenPort(), await takenPort()] as const;
    const [one, other] = taken.map(({ port }) => String(port)) as [string, string];
    const ports = { ARQONBUS_TELEMETRY_PORT: one, ARQONBUS_HTTP_PORT: other };
    const server = await startTestServer(ports, { mayMove: { telemetry: true, http: true } });
    expect(new URL(server.urls.telemetry).port).not.toBe(one);
    expect(new URL(server.urls.http).port).not.toBe(other);
    expect(await ask(`${server.urls.http}/health`)).toMatchObject({ status: 200 });
    await server.stop();
    const asked = startTestServer(ports, { mayMove: { telemetry: true, http: false } });
    await expect(asked).rejects.toThrow(`Port ${other} on 127.0.0.1 is in use`);
    await Promise.all(taken.map(({ free }) => free()));
  });

  it('does without the listeners that are off', async () => {
    const server = await startTestServer({ ARQONBUS_TELEMETRY_PORT: 'off', ARQONBUS_HTTP_PORT: 'off' });
    expect(server.urls).toEqual({ bus: expect.stringMatching(/^ws:/), telemetry: '', http: '' });
    const peer = await Peer.connect(server.urls.bus);
    await peer.close();
    await server.stop();
  });

  it('judges hosts by the address of each listener', async () => {
    const server = await startTestServer({ ARQONBUS_HTTP_HOST: '0.0.0.0', ARQONBUS_HTTP_API_KEY: 'key' });
    const headers = { Host: 'bus.example', 'X-API-Key': 'key' };
    const url = server.urls.http.replace('0.0.0.0', '127.0.0.1');
    expect(await ask(`${url}/status`, { headers })).toMatchObject({ status: 200 });
    await expect(Peer.connect(server.urls.bus, {}, { headers: { Host: 'bus.example' } })).rejects.toMatchObject({
      status: 403,
    });
    await server.stop();
  });
});

describe('reopening', () => {
  it('keeps what was watched and counted, and takes clients again', async () => {
    const server = await startTestServer();
    const [peer, watcher] = [await Peer.connect(server.urls.bus), await Watcher.connect(server.urls.telemetry)];
    await peer.publish({ room: 'science', channel: 'explore', payload: {} });
    const { bus, http, telemetry } = await server.server.reopen(server.config);
    expect(await peer.closed).toBe(1001);
    expect(await watcher.closed).toBe(1001);

    const again = await Peer.connect(`ws://127.0.0.1:${bus.port}`);
    const url = `http://127.0.0.1:${http?.port}`;
    expect(await ask(`${url}/ready`)).toMatchObject({ status: 200 });
    const { events } = (await ask(`${url}/telemetry/events`)).json;
    const told = events.map(({ payload }: { payload: { client_id?: string } }) => payload.client_id);
    expect(told).toEqual(expect.arrayContaining([peer.id, again.id]));
    const { text } = await ask(`${url}/metrics`);
    expect(text).toContain('\narqonbus_messages_received_total 1\n');
    expect(text).toContain('\narqonbus_websocket_connections 1\n');
    expect((await ask(`${url}/status`)).json.endpoints.telemetry).toBe(`ws://127.0.0.1:${telemetry?.port}`);
    await again.close();
    await server.stop();
  });

  it('goes on as before when the listeners cannot be opened as asked', async () => {
    const [server, taken] = [await startTestServer(), await takenPort()];
    const { config } = server;
    const asked = server.server.reopen({ ...config, http: { ...config.http, port: taken.port } });
    await expect(asked).rejects.toThrow(`Port ${taken.port} on 127.0.0.1 is in use`);
    const { bus } = await server.server.reopen(config);
    const peer = await Peer.connect(`ws://127.0.0.1:${bus.port}`);
    expect(await peer.ask('ping')).toMatchObject({ pong: true });
    await peer.close();
    await server.stop();
    await taken.free();
  });
});

describe('reopening while something else is under way', () => {
  it('takes its turn, and ends before the server stops', async () => {
    const server = await startTestServer();
    const { port } = new URL(server.urls.bus);
    const config = { ...server.config, server: { ...server.config.server, port: Number(port) } };
    const [once, twice] = [server.server.reopen(config), server.server.reopen(config)];
    expect((await once).bus).toEqual((await twice).bus);
    const last = server.server.reopen(config);
    await server.stop();
    await expect(last).rejects.toThrow('The server stops');
    await expect(Peer.connect(server.urls.bus)).rejects.toThrow(/ECONNREFUSED/);
  });
});

describe('stopping', () => {
  it('keeps its time, though a client answers no close frame', async () => {
    const server = await startTestServer({ ARQONBUS_SHUTDOWN_SECONDS: '1' });
    const { host, port } = new URL(server.urls.bus);
    const mute = connect(Number(port), '127.0.0.1');
    const handshake = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13'];
    const key = `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}`;
    mute.write([`GET / HTTP/1.1`, `Host: ${host}`, ...handshake, key, '', ''].join('\r\n'));
    await once(mute, 'data');
    const began = performance.now();
    await server.stop();
    // Left to itself the closing handshake has half a minute.
    expect(performance.now() - began).toBeLessThan(10_000);
    mute.destroy();
  });

  it('says nothing of it when it never started', async () => {
    const taken = await takenPort();
    const lines = new PassThrough();
    const log = createLog({ level: 'info', destination: lines });
    await expect(startTestServer({ ARQONBUS_HTTP_PORT: String(taken.port) }, { log })).rejects.toThrow(/in use/);
    expect(lines.read()).toBeNull();
    await taken.free();
  });
});

describe('TLS', () => {
  let directory: string;
  let files: { ARQONBUS_TLS_CERT_FILE: string; ARQONBUS_TLS_KEY_FILE: string };

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'arqonbus-tls-'));
    files = { ARQONBUS_TLS_CERT_FILE: join(directory, 'cert.pem'), ARQONBUS_TLS_KEY_FILE: join(directory, 'key.pem') };
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost';
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1'];
    const out = ['-out', files.ARQONBUS_TLS_CERT_FILE, '-keyout', files.ARQONBUS_TLS_KEY_FILE];
    execFileSync('openssl', [...request.split(' '), ...names, ...out], { stdio: 'ignore' });
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('covers all three listeners', async () => {
    const server = await startTestServer(files);
    const ca = readFileSync(files.ARQONBUS_TLS_CERT_FILE);
    const peer = await Peer.connect(server.urls.bus, {}, { ca });
    await peer.ask('ping');
    const watcher = await Watcher.connect(server.urls.telemetry, undefined, { ca });
    expect(watcher.greeting.eventType).toBe('telemetry_connected');
    const status = await new Promise<Answer['status'] | undefined>((resolve, reject) => {
      get(`${server.urls.http}/health`, { ca, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on('error', reject);
    });
    expect(status).toBe(200);
    await expect(ask(server.urls.http.replace('https', 'http'))).rejects.toThrow();
    await Promise.all([peer.close(), watcher.close()]);
    await server.stop();
  });

  it('cuts who never begins its handshake, or says nothing after it', async () => {
    const server = await startTestServer(files);
    const { bus, telemetry, http } = server.urls;
    const ca = readFileSync(files.ARQONBUS_TLS_CERT_FILE);
    const began = performance.now();
    const sockets = [bus, telemetry, http].flatMap((url) => {
      const at = { host: '127.0.0.1', port: Number(new URL(url).port), allowHalfOpen: true };
      return [connect(at), connectTls({ ...at, ca })];
    });
    const ends = sockets.map(async (socket) => {
      socket.on('error', () => socket.destroy());
      await new Promise((resolve) => socket.resume().once('end', resolve).once('close', resolve));
      socket.destroy();
      return performance.now() - began;
    });
    for (const end of await Promise.all(ends)) expect(end).toBeLessThan(7_000);
    await server.stop();
  });

  it('stops the start with a sentence when its files cannot be used', async () => {
    const missing = { ...files, ARQONBUS_TLS_KEY_FILE: join(directory, 'none.pem') };
    await expect(startTestServer(missing)).rejects.toThrow(/^ARQONBUS_TLS_KEY_FILE: .* cannot be read \(ENOENT\)\.$/);
    const broken = join(directory, 'broken.pem');
    writeFileSync(broken, 'nonsense');
    await expect(startTestServer({ ...files, ARQONBUS_TLS_CERT_FILE: broken })).rejects.toThrow(
      /no certificate with its key/,
    );
  });
});
