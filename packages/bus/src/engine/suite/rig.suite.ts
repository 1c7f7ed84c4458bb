import { openDraft } from '@arqonbus/protocol';
import { afterEach, beforeEach } from 'vitest';
import { raiseMissing } from '../../subscribe/missing.ts';
import type {
  Awaitable,
  Engine,
  EngineEvents,
  Missing,
  NodeMessage,
  Publication,
  Published,
  Retention,
  StoreQuota,
  StreamAddress,
  StreamEvent,
} from '../engine.ts';

/** The node names that a clustering backend gives its first and its second engine. */
export const NODE_A = 'node-a';
export const NODE_B = 'node-b';

/** One fresh, empty backend for one test. */
interface EngineRig {
  /** Opens the first engine (as node {@link NODE_A}). Called once. */
  open(events: EngineEvents): Promise<Engine>;
  /** Opens another node (as {@link NODE_B}) on the same backend. Only backends that cluster have it. */
  second?(events: EngineEvents): Promise<Engine>;
  /** Opens the same storage again after the first engine was closed. Only backends that outlive a process have it. */
  restart?(events: EngineEvents): Promise<Engine>;
  /** Lets time pass: by a fake clock where the backend reads one of this process, else by waiting. */
  elapse(ms: number): Promise<void>;
  /** Removes what is left once every engine is closed. */
  cleanup(): Promise<void>;
}

export type EngineFactory = () => EngineRig | Promise<EngineRig>;

/** How many connections the recorder claims to have handed each event to. */
export const CONNECTIONS = 3;

/** The bus's side of an engine: keeps what it is told, in order, and lets a test wait for it. */
export class Recorder implements EngineEvents {
  readonly events: StreamEvent[] = [];
  readonly messages: NodeMessage[] = [];
  readonly gaps: StreamAddress[] = [];
  readonly healthStates: { healthy: boolean; reason: string }[] = [];
  readonly trims: Parameters<EngineEvents['trimmed']>[0][] = [];
  readonly warnings: string[] = [];
  onDeliver: ((event: StreamEvent) => void) | undefined;
  readonly #waiting = new Set<() => void>();

  deliver(event: StreamEvent): number {
    this.events.push(event);
    this.onDeliver?.(event);
    this.touch();
    return CONNECTIONS;
  }

  receive(message: NodeMessage): void {
    this.messages.push(message);
    this.touch();
  }

  /** As the bus does where it is told what is missing. */
  gap(_tenant?: string, _room?: string, missing: readonly Missing[] = []): Awaitable<void> {
    return raiseMissing(missing, (stream) => this.historyGap(stream));
  }

  trimmed(state: Parameters<EngineEvents['trimmed']>[0]): void {
    this.trims.push(state);
    this.touch();
  }

  warning(sentence: string): void {
    this.warnings.push(sentence);
    this.touch();
  }

  historyGap(stream: StreamAddress): void {
    this.gaps.push(stream);
    this.touch();
  }

  health(state: { healthy: boolean; reason: string }): void {
    this.healthStates.push(state);
    this.touch();
  }

  /** What of one stream was delivered. */
  of(stream: StreamAddress): StreamEvent[] {
    return this.events.filter(
      (event) =>
        event.stream.tenant === stream.tenant &&
        event.stream.room === stream.room &&
        event.stream.channel === stream.channel,
    );
  }

  /** Resolves as soon as `condition` holds; it is looked at whenever something is recorded. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition()) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** Looks at every waiting condition; for what a test records itself (a watcher's changes). */
  touch(): void {
    for (const look of [...this.#waiting]) look();
  }
}

/** A fresh rig and an open engine per test. Read the fields inside tests only. */
export interface Bench {
  readonly rig: EngineRig;
  readonly engine: Engine;
  readonly seen: Recorder;
  /** Opens the second node. */
  second(): Promise<{ engine: Engine; seen: Recorder }>;
  /** Closes the engine and opens its storage anew. */
  restart(): Promise<{ engine: Engine; seen: Recorder }>;
}

/** Registers the hooks that open an engine before every test of the surrounding `describe` and close it after. */
export function useEngine(factory: EngineFactory): Bench {
  let rig: EngineRig;
  let engine: Engine;
  let seen: Recorder;
  let open: Engine[] = [];

  beforeEach(async () => {
    rig = await factory();
    seen = new Recorder();
    engine = await rig.open(seen);
    open = [engine];
  });

  afterEach(async () => {
    for (const each of open) await each.close();
    await rig.cleanup();
  });

  return {
    get rig() {
      return rig;
    },
    get engine() {
      return engine;
    },
    get seen() {
      return seen;
    },
    async second() {
      if (rig.second === undefined) throw new Error('This backend does not cluster.');
      const recorder = new Recorder();
      const node = await rig.second(recorder);
      open.push(node);
      return { engine: node, seen: recorder };
    },
    async restart() {
      if (rig.restart === undefined) throw new Error('This backend does not outlive its process.');
      await engine.close();
      const recorder = new Recorder();
      const again = await rig.restart(recorder);
      open = [again];
      return { engine: again, seen: recorder };
    },
  };
}

const RETENTION: Retention = { size: 500, ttlMs: 86_400_000 };

export function stream(channel: string, room = 'science', tenant = 'default'): StreamAddress {
  return { tenant, room, channel };
}

let drafted = 0;

/** A publication with everything filled in that a test does not care about. */
export function publication(
  to: StreamAddress,
  options: {
    id?: string;
    identity?: string;
    payload?: Record<string, unknown>;
    time?: number;
    retention?: Retention;
    dedupeMs?: number;
  } = {},
): Publication {
  drafted += 1;
  const identity = options.identity ?? 'alice';
  const draft = openDraft(
    {
      id: options.id ?? `arq_suite_${drafted}`,
      type: 'event',
      room: to.room,
      channel: to.channel,
      from: `arq_client_${identity}`,
      payload: options.payload ?? { n: drafted },
    },
    options.time ?? Date.now(),
  );
  const { retention = RETENTION, dedupeMs } = options;
  return { stream: to, draft, identity, retention, ...(dedupeMs === undefined ? {} : { dedupeMs }) };
}

/** Publishes `count` events one after the other and answers what the engine answered. */
export async function publishMany(
  engine: Engine,
  to: StreamAddress,
  count: number,
  options: (index: number) => Parameters<typeof publication>[1] = () => ({}),
): Promise<Published[]> {
  const results: Published[] = [];
  for (let index = 0; index < count; index += 1) {
    results.push(await engine.broker.publish(publication(to, options(index))));
  }
  return results;
}

/** `from`, `from` + 1, … `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

/** A quota that bounds the keys of a tenant alone. */
export function tenantKeys(most: number): StoreQuota {
  const unbounded = Number.MAX_SAFE_INTEGER;
  return { owner: 'owner', ownerKeys: unbounded, ownerBytes: unbounded, tenantKeys: most, tenantBytes: unbounded };
}
