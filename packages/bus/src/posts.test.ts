import type { Envelope } from '@arqonbus/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { type Bus, createBus } from './bus.ts';
import { command } from './commands/command.ts';
import { framePayload } from './connection/frame.ts';
import type { Wire } from './connection/outbox.ts';
import type { Session } from './connection/session.ts';
import { principalOf } from './principal.ts';

/** A wire that only sends, and keeps what it was given. */
class Kept implements Wire {
  readonly backlog = 0;
  readonly isOpen = true;
  readonly oneByOne = true;
  readonly envelopes: Envelope[] = [];
  write(frames: Buffer, taken?: () => void): void {
    if (frames.length > 0) this.envelopes.push(JSON.parse(framePayload(frames).toString()) as Envelope);
    if (taken !== undefined) setImmediate(taken);
  }
  pauseReading(): void {}
  close(): void {}
}

const ADA = principalOf({ subject: 'ada' });
const PING = JSON.stringify({ type: 'command', command: 'ping', args: {}, version: '1.0', id: 'arq_ping' });
let bus: Bus;
let wire: Kept;
let session: Session;
let open: () => void;

beforeEach(async () => {
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const slow = command({
    name: 'slow',
    role: 'guest',
    description: 'Answers when it is let.',
    args: z.strictObject({}),
    result: z.strictObject({}),
    run: async () => {
      await gate;
      return {};
    },
  });
  bus = await createBus({ commands: () => [slow] });
  wire = new Kept();
  const profile = { clientType: 'service', screenName: null, avatar: null, personality: null } as const;
  const who = { principal: ADA, profile, clientKey: undefined, address: '127.0.0.1', join: undefined };
  session = bus.connect({ ...who, postId: 'arq_session_secret' }, wire);
});
afterEach(async () => {
  open();
  await bus.close({ withinMs: 0 });
});

/** Fills what may wait of the session behind a command that does not end. */
async function fill(): Promise<void> {
  await bus.posts.post(ADA, 'arq_session_secret', [PING.replace('ping', 'slow')]);
  await bus.posts.post(
    ADA,
    'arq_session_secret',
    Array.from({ length: 1_100 }, () => PING),
  );
}

describe('what is posted into a session', () => {
  it('goes to whoever was told its id, and to nobody by its client id', async () => {
    expect(session.postId).toBe('arq_session_secret');
    await bus.posts.post(ADA, 'arq_session_secret', [PING]);
    await expect.poll(() => wire.envelopes.at(-1)?.payload.pong, { timeout: 10_000 }).toBe(true);
    for (const [who, id] of [
      [ADA, session.id],
      [ADA, 'arq_session_other'],
      [principalOf({ subject: 'eve' }), 'arq_session_secret'],
      [principalOf({ subject: 'ada', tenant: 'other' }), 'arq_session_secret'],
    ] as const) {
      await expect(bus.posts.post(who, id, [PING])).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
  });

  it('is over when its client ends it, and nobody else does', async () => {
    await expect(bus.posts.end(principalOf({ subject: 'eve' }), 'arq_session_secret')).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    expect(session.closed).toBe(false);
    await bus.posts.end(ADA, 'arq_session_secret');
    expect(session.closed).toBe(true);
    await expect(bus.posts.end(ADA, 'arq_session_secret')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('is over when its client ends it by another node', () => {
    bus.posts.receive({ kind: 'post', tenant: 'default', clients: [session.id], text: 'null' });
    expect(session.closed).toBe(true);
  });

  it('is refused with a time to come back while as much waits as may', async () => {
    await fill();
    const refused = bus.posts.post(ADA, 'arq_session_secret', [PING]);
    await expect(refused).rejects.toMatchObject({ code: 'RATE_LIMITED', details: { retry_after_ms: 100 } });
    open();
    await expect
      .poll(() => wire.envelopes.filter(({ command: name }) => name === 'ping').length, { timeout: 10_000 })
      .toBe(1_100);
    await expect(bus.posts.post(ADA, 'arq_session_secret', [PING])).resolves.toBeUndefined();
  });

  it('by another node meanwhile is refused in the stream', async () => {
    await fill();
    const text = JSON.stringify([PING.replace('arq_ping', 'arq_late'), '{']);
    bus.posts.receive({ kind: 'post', tenant: 'default', clients: [session.id], text });
    await expect.poll(() => wire.envelopes.length, { timeout: 10_000 }).toBe(3);
    expect(wire.envelopes.slice(1)).toMatchObject([
      { type: 'command_response', request_id: 'arq_late', error_code: 'RATE_LIMITED' },
      { type: 'error', error_code: 'INVALID_JSON' },
    ]);
  });
});
