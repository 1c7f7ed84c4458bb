import { BusError } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import { attended } from './attended.suite.ts';
import type { Engine } from './engine/engine.ts';
import { MOST_USAGES } from './engine/engine.ts';
import { createMemoryEngine } from './engine/memory/memory.ts';

const serve = attended();

interface Told {
  readonly channel: string;
  readonly sequence?: number;
  readonly events?: number;
  readonly bytes?: number;
}

describe('what channels keep', () => {
  it('is told with each of a list, longer than the storage is asked for at once, and with the channel', async () => {
    const asked: number[] = [];
    const { bus, connect } = await serve([], {
      engine: watched((count) => {
        asked.push(count);
      }),
    });
    const names = Array.from({ length: MOST_USAGES + 20 }, (_, n) => `c${String(n).padStart(3, '0')}`);
    for (const [n, name] of names.entries()) {
      for (let count = 0; count <= n % 3; count += 1) await bus.publish(`orders:${name}`, { note: 'é' });
    }
    const peer = await connect('ada');
    const payload = await peer.ask('list_channels', { room: 'orders' });
    const channels = payload.channels as Told[];
    expect(channels.map(({ channel, events, sequence }) => [channel, events, sequence])).toEqual(
      names.map((name, n) => [name, (n % 3) + 1, (n % 3) + 1]),
    );
    expect(asked).toEqual([MOST_USAGES, 20]);
    const read = await peer.ask('op.history.get', { room: 'orders', channel: 'c002' });
    const texts = (read.entries as { envelope: object }[]).map(({ envelope }) => JSON.stringify(envelope));
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    expect(channels[2]?.bytes).toBe(bytes);
    const info = await peer.ask('channel_info', { room: 'orders', channel: 'c002' });
    expect(info).toMatchObject({ sequence: 3, events: 3, bytes });
  });

  it('is left out while the storage cannot be asked', async () => {
    const { bus, connect } = await serve([], {
      engine: watched(() => {
        throw new BusError('STORAGE_UNAVAILABLE', 'away');
      }),
    });
    await bus.publish('orders:new', {});
    const peer = await connect('ada');
    const payload = await peer.ask('list_channels', { room: 'orders' });
    const [told] = payload.channels as Told[];
    expect(told).toMatchObject({ channel: 'new', members: 0 });
    const info = await peer.ask('channel_info', { room: 'orders', channel: 'new' });
    expect(info).toMatchObject({ channel: 'new', sequence: 1 });
    for (const one of [told, info]) expect(one).not.toHaveProperty('bytes');
  });
});

/** The memory engine, which first tells how many streams it is asked for. */
function watched(onUsage: (count: number) => void): Engine {
  const engine = createMemoryEngine();
  const usage = engine.broker.usage.bind(engine.broker);
  engine.broker.usage = (streams) => {
    onUsage(streams.length);
    return usage(streams);
  };
  return engine;
}
