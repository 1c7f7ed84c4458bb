import { attempt } from '../awaitable.ts';
import type { Awaitable, KeyValueStore } from '../engine/engine.ts';
import type { NodeCalls } from '../node-calls.ts';
import type { KnownStream, KnownStreams, StreamRecord } from './known.ts';
import { readRecord } from './record-space.ts';
import type { WrittenStream } from './written.ts';

/** How long another node may take to respond with a text, and with lengths, in milliseconds. */
const TEXT_MS = 5_000;
const LENGTHS_MS = 1_000;

/** All text sent so far of a stream, as one piece; null when there is none. */
export interface TextSoFar {
  readonly envelope: string | null;
  readonly length: number;
}

interface Asked {
  readonly tenant: string;
  readonly id: string;
}

/** The texts of open streams: this node's own, and those requested from other nodes. */
export class StreamTexts {
  private readonly known: KnownStreams;
  private readonly calls: NodeCalls;
  private readonly store: KeyValueStore;
  private readonly own: Map<string, WrittenStream> = new Map();

  constructor(known: KnownStreams, calls: NodeCalls, store: KeyValueStore) {
    this.known = known;
    this.calls = calls;
    this.store = store;
    calls.serve('stream.text', ({ tenant, id }: Asked) => this.ownSoFar(tenant, id));
    calls.serve('stream.lengths', (asked: Asked[]) =>
      asked.map(({ tenant, id }) => this.get(tenant, id)?.text.length ?? null),
    );
  }

  get(tenant: string, id: string): WrittenStream | undefined {
    return this.own.get(`${tenant}/${id}`);
  }

  all(): Iterable<WrittenStream> {
    return this.own.values();
  }

  /** UTF-8 bytes of all texts on this node. */
  get bytes(): number {
    let sum = 0;
    for (const { size } of this.own.values()) sum += size.bytes;
    return sum;
  }

  add(stream: WrittenStream): void {
    this.own.set(`${stream.known.tenant}/${stream.known.id}`, stream);
  }

  /** Stops a stream's timers and drops its text. */
  remove(stream: WrittenStream): void {
    stream.stop();
    const { tenant, id } = stream.known;
    if (this.get(tenant, id) === stream) this.own.delete(`${tenant}/${id}`);
  }

  /** The text sent so far; synchronous if it is on this node; null if not found. Rejects when its node is silent. */
  soFar(stream: KnownStream): Awaitable<TextSoFar | null> {
    const { tenant, id } = stream;
    return this.get(tenant, id) === undefined ? this.ask(stream) : this.ownSoFar(tenant, id);
  }

  /** The lengths of streams on any node; 0 without a response. */
  async lengths(streams: readonly (KnownStream & { readonly record: StreamRecord })[]): Promise<number[]> {
    const byNode = new Map<string, Asked[]>();
    for (const { tenant, id, record } of streams) {
      if (this.get(tenant, id) === undefined)
        byNode.set(record.node, [...(byNode.get(record.node) ?? []), { tenant, id }]);
    }
    const found = new Map<string, number>();
    const asking = [...byNode].map(async ([node, asked]) => {
      const answer = attempt<unknown>(
        () => this.calls.ask(node, 'stream.lengths', asked, LENGTHS_MS),
        () => [],
      );
      const lengths = (await answer) as (number | null)[];
      asked.forEach(({ tenant, id }, at) => void found.set(`${tenant}/${id}`, lengths[at] ?? 0));
    });
    await Promise.all(asking);
    return streams.map(({ tenant, id }) => this.get(tenant, id)?.text.length ?? found.get(`${tenant}/${id}`) ?? 0);
  }

  private ownSoFar(tenant: string, id: string): TextSoFar | null {
    const stream = this.get(tenant, id);
    if (stream === undefined) return null;
    const { shownLength: length } = stream;
    return { envelope: length === 0 ? null : stream.envelope(0, length), length };
  }

  private async ask(stream: KnownStream): Promise<TextSoFar | null> {
    const { tenant, id } = stream;
    const record = stream.record ?? (await readRecord(this.store, tenant, id));
    if (record !== null && record.node !== '') {
      const answer = (await this.calls.ask(record.node, 'stream.text', { tenant, id }, TEXT_MS)) as TextSoFar | null;
      if (answer !== null) return answer;
    }
    // It has ended without this node being notified, or is being handed over.
    if ((await readRecord(this.store, tenant, id)) === null) this.known.gone(stream);
    return null;
  }
}
