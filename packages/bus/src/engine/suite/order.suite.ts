import { seal } from '@arqonbus/protocol';
import { describe, expect, it } from 'vitest';
import type { Published, StoredEvent } from '../engine.ts';
import { CONNECTIONS, type EngineFactory, publication, publishMany, range, stream, useEngine } from './rig.suite.ts';

/** Order, sequence, epoch and delivery (PROTOCOL section 6, guarantees 1 and 2). */
export function orderSuite(factory: EngineFactory): void {
  describe('order and delivery', () => {
    const bench = useEngine(factory);
    const lab = stream('general');

    it('numbers a stream from 1 without gaps within one epoch', async () => {
      await bench.engine.broker.attach('default', 'science');
      const results = await publishMany(bench.engine, lab, 20);
      expect(results.map((result) => result.sequence)).toEqual(range(1, 20));
      expect(new Set(results.map((result) => result.epoch)).size).toBe(1);
      expect(results[0]?.epoch).toMatch(/^[0-9a-zA-Z_-]{8,}$/);
      for (const result of results) {
        expect(result.duplicate).toBe(false);
        expect(result.stored).not.toBe('none');
      }
    });

    it('opens a stream that never was with a lasting epoch, sequence 0 and nothing kept', async () => {
      const first = await bench.engine.broker.state(lab);
      expect(first).toEqual({ sequence: 0, epoch: expect.any(String), oldest: 1 });
      expect(await bench.engine.broker.state({ ...lab })).toEqual(first);
      const [result] = await publishMany(bench.engine, lab, 1);
      expect(result?.epoch).toBe(first.epoch);
      expect(await bench.engine.broker.state(lab)).toEqual({ sequence: 1, epoch: first.epoch, oldest: 1 });
    });

    it('keeps streams apart: each counts for itself in an epoch of its own', async () => {
      const addresses = [lab, stream('explore'), stream('*'), stream('general', 'other'), stream('a/b')];
      const epochs = new Set<string>();
      for (const address of addresses) {
        const results = await publishMany(bench.engine, address, 3);
        expect(results.map((result) => result.sequence)).toEqual([1, 2, 3]);
        epochs.add(results[0]?.epoch ?? '');
      }
      expect(epochs.size).toBe(addresses.length);
    });

    it('knows a stream by its names, whatever else the object holds that carries them', async () => {
      await bench.engine.broker.attach('default', 'science');
      const [old, young] = [
        { ...lab, members: 1 },
        { ...lab, members: 2 },
      ];
      await bench.engine.broker.publish(publication(old));
      expect(await bench.engine.broker.publish(publication(young))).toMatchObject({ sequence: 2 });
      expect(await bench.engine.broker.streams('default')).toEqual([lab]);
      // The publisher's own object or plain names, but never the one of somebody who published before.
      expect(bench.seen.events.at(-1)?.stream).not.toBe(old);
      expect(bench.seen.events.at(-1)?.stream).toMatchObject(lab);
    });

    it('tells names apart that differ only in case', async () => {
      await publishMany(bench.engine, stream('Lab'), 2);
      expect((await bench.engine.broker.state(stream('lab'))).sequence).toBe(0);
    });

    it('delivers every event once, in order, before its publication is answered', async () => {
      await bench.engine.broker.attach('default', 'science');
      for (const n of range(1, 10)) {
        const sent = publication(lab);
        const result = await bench.engine.broker.publish(sent);
        const got = bench.seen.of(lab);
        expect(got).toHaveLength(n);
        expect(got.at(-1)).toEqual({
          stream: lab,
          sequence: n,
          id: sent.draft.id,
          from: sent.draft.from,
          // Who published it is told where another node may have.
          ...(bench.engine.presence === null ? {} : { identity: sent.identity }),
          text: seal(sent.draft.open, n, result.epoch),
        });
        expect(result.delivered).toBe(CONNECTIONS);
      }
    });

    it('delivers to a node that attached every room of the tenant', async () => {
      await bench.engine.broker.attach('default', '*');
      await publishMany(bench.engine, lab, 1);
      await publishMany(bench.engine, stream('*', 'other'), 1);
      expect(bench.seen.events.map((event) => event.stream)).toEqual([lab, stream('*', 'other')]);
    });

    it('delivers once where the room and all rooms are attached, and again', async () => {
      await bench.engine.broker.attach('default', '*');
      await bench.engine.broker.attach('default', 'science');
      await bench.engine.broker.attach('default', 'science');
      await publishMany(bench.engine, lab, 2);
      expect(bench.seen.of(lab).map((event) => event.sequence)).toEqual([1, 2]);
    });

    it('delivers nothing that history does not hold yet', async () => {
      await bench.engine.broker.attach('default', 'science');
      const checks: Promise<StoredEvent[]>[] = [];
      bench.seen.onDeliver = ({ sequence }) => {
        checks.push(
          Promise.resolve(bench.engine.broker.history(lab, { fromSequence: sequence, toSequence: sequence, limit: 1 })),
        );
      };
      await publishMany(bench.engine, lab, 10);
      const found = await Promise.all(checks);
      expect(found.map((events) => events[0]?.sequence)).toEqual(range(1, 10));
      expect(found.map((events) => events[0]?.text)).toEqual(bench.seen.of(lab).map((event) => event.text));
    });

    it('gives concurrent publishers one total order per stream, and each publisher its own order across streams', async () => {
      await bench.engine.broker.attach('default', 'science');
      const channels = [stream('one'), stream('two'), stream('*')];
      const pending: (Published | Promise<Published>)[] = [];
      for (let step = 0; step < 60; step += 1) {
        for (let publisher = 0; publisher < 8; publisher += 1) {
          const to = channels[(step * 7 + publisher) % channels.length] ?? lab;
          const identity = `publisher${publisher}`;
          pending.push(bench.engine.broker.publish(publication(to, { identity, payload: { step } })));
        }
        // Some bursts share a turn of the event loop, some do not.
        if (step % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      const results = await Promise.all(pending);
      expect(new Set(results.map((result) => result.epoch)).size).toBe(channels.length);
      for (const channel of channels) {
        const got = bench.seen.of(channel).map((event) => event.sequence);
        expect(got).toEqual(range(1, got.length));
        const kept = await bench.engine.broker.history(channel, { limit: 1000 });
        expect(kept.map((event) => event.text)).toEqual(bench.seen.of(channel).map((event) => event.text));
      }
      expect(bench.seen.events).toHaveLength(480);
      for (let publisher = 0; publisher < 8; publisher += 1) {
        const steps = bench.seen.events
          .filter((event) => event.from === `arq_client_publisher${publisher}`)
          .map((event) => (JSON.parse(event.text) as { payload: { step: number } }).payload.step);
        expect(steps).toEqual(range(0, 59));
      }
    });

    it('carries every text unchanged, byte by byte', async () => {
      await bench.engine.broker.attach('default', 'science');
      const payloads: Record<string, unknown>[] = [
        { quote: '"\\/\b\f\n\r\t' },
        { separators: '\u2028\u2029\u0085', zero: '\u0000', bell: '\u0007' },
        { emoji: '😀👩‍👩‍👧‍👦', astral: '𝒳\u{10ffff}', accents: 'é e\u0301', cjk: '漢字', rtl: 'שלום' },
        { loneSurrogate: '\ud800', key_é: 1, '': 'empty key', "it's": "'; DROP TABLE x; --" },
        { placeholders: '? :a $1 %s {0} KEYS[1] ARGV[1]', percent: '%00%', line: 'a\r\nb' },
        JSON.parse('{"__proto__":{"polluted":true},"constructor":1}') as Record<string, unknown>,
        { numbers: [0, -0, 1e21, 1.5e-9, 9007199254740991, 123456789012345680000], deep: [[[[[]]]]], nothing: null },
        {},
      ];
      const sent = payloads.map((payload) => publication(lab, { payload }));
      for (const each of sent) await bench.engine.broker.publish(each);
      const { epoch } = await bench.engine.broker.state(lab);
      const expected = sent.map((each, index) => seal(each.draft.open, index + 1, epoch));
      expect(bench.seen.of(lab).map((event) => event.text)).toEqual(expected);
      const kept = await bench.engine.broker.history(lab, { limit: 100 });
      expect(kept).toEqual(
        sent.map((each, index) => ({
          sequence: index + 1,
          time: each.draft.time,
          from: each.draft.from,
          text: expected[index],
        })),
      );
    });

    it('carries a text of 1 MiB, of one and of several bytes a character', async () => {
      await bench.engine.broker.attach('default', 'science');
      for (const body of ['x'.repeat(1_048_000), '漢'.repeat(349_000), '😀'.repeat(262_000)]) {
        await bench.engine.broker.publish(publication(lab, { payload: { body } }));
      }
      const kept = await bench.engine.broker.history(lab, { limit: 3 });
      expect(kept.map((event) => event.text.length)).toEqual(bench.seen.of(lab).map((event) => event.text.length));
      for (const [index, event] of bench.seen.of(lab).entries()) expect(kept[index]?.text === event.text).toBe(true);
    });
  });
}
