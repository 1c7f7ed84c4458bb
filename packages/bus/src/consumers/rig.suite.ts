import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Envelope, type JsonObject, newId } from '@arqonbus/protocol';
import { onTestFinished } from 'vitest';
import { Peer } from '../../../../test/fixtures/peer.ts';
import { type Bus, createBus } from '../bus.ts';
import type { CreateBusOptions, GivenPrincipal } from '../create-options.ts';
import type { Engine } from '../engine/engine.ts';
import type { BusOptions } from '../options.ts';

/** Runs when the test has ended, last one first. */
export function onEnd(cleanup: () => unknown): void {
  onTestFinished(async () => void (await cleanup()));
}

export type Delivered = Envelope<JsonObject> & {
  readonly metadata: { readonly delivery: { group: string; attempt: number; token: string; deadline: string } };
};

/** A client that speaks the protocol by hand, and what groups mean to it. */
export class Worker {
  readonly peer: Peer;

  constructor(peer: Peer) {
    this.peer = peer;
    onEnd(() => peer.ws.terminate());
  }

  static async connect(node: Node, query: Readonly<Record<string, string>> = {}): Promise<Worker> {
    return new Worker(await Peer.connect(node.url, query));
  }

  join(group: string, place: object = PLACE, prefetch?: number): Promise<JsonObject> {
    return this.ask('join_channel', { ...place, group, ...(prefetch === undefined ? {} : { prefetch }) });
  }

  ask(command: string, args: JsonObject): Promise<JsonObject> {
    return this.peer.ask(command, args) as Promise<JsonObject>;
  }

  /** The code of a refusal. */
  async refused(command: string, args: JsonObject): Promise<JsonObject & { code: string }> {
    const response = await this.peer.command(command, args);
    if (response.status === 'success') throw new Error(`${command} was not refused`);
    return { ...response.payload, code: String(response.error_code) };
  }

  /** The next event of a group, come already or still to come. */
  next(): Promise<Delivered> {
    return this.peer.next((frame) => frame.metadata?.delivery !== undefined) as Promise<Delivered>;
  }

  async take(count: number): Promise<Delivered[]> {
    const taken: Delivered[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }

  ack(...events: readonly Delivered[]): Promise<JsonObject> {
    return this.ask('delivery.ack', { tokens: events.map(tokenOf) });
  }

  /** Handles everything from now on, and tells of each event. */
  work(onHandled: (event: Delivered) => void): void {
    const loop = async (): Promise<void> => {
      for (;;) {
        const event = await this.next();
        const { status } = await this.peer.command('delivery.ack', { tokens: [tokenOf(event)] });
        // On a machine that stands still, a lease may end before it is answered for: another one follows.
        if (status === 'success') onHandled(event);
      }
    };
    // It ends with the connection.
    loop().catch(() => {});
  }

  /** Its line drops without a word. */
  drop(): void {
    this.peer.ws.terminate();
  }
}

export const PLACE = { room: 'work', channel: 'jobs' };

export function tokenOf({ metadata }: Delivered): string {
  return metadata.delivery.token;
}

export function numberOf({ payload }: Delivered): unknown {
  return payload.n;
}

export interface NodeOptions extends Partial<BusOptions> {
  readonly authenticate?: (name: string) => GivenPrincipal;
  readonly refresh?: (token: string) => GivenPrincipal;
  /** What else the bus is made with. */
  readonly made?: Pick<CreateBusOptions, 'hooks' | 'rules'>;
}

/** A bus that clients reach over WebSocket. */
export class Node {
  readonly bus: Bus;
  readonly server: Server;
  readonly url: string;
  readonly faults: unknown[];

  private constructor(bus: Bus, server: Server, faults: unknown[]) {
    this.bus = bus;
    this.server = server;
    this.faults = faults;
    const { port } = server.address() as AddressInfo;
    this.url = `ws://127.0.0.1:${port}`;
  }

  static async open(engine: Engine, { authenticate, refresh, made, ...limits }: NodeOptions = {}): Promise<Node> {
    const faults: unknown[] = [];
    const bus = await createBus({
      ...made,
      engine,
      limits,
      onFault: (error) => faults.push(error),
      ...(refresh === undefined ? {} : { refresh }),
      ...(authenticate === undefined
        ? {}
        : { authenticate: ({ url = '' }) => authenticate(new URL(url, 'ws://x').searchParams.get('as') ?? '') }),
    });
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    bus.attach(server);
    const node = new Node(bus, server, faults);
    onEnd(() => node.close());
    return node;
  }

  async close(): Promise<void> {
    await this.bus.close({ withinMs: 500 });
    this.server.close();
    this.server.closeAllConnections();
  }

  /** Publishes `{n}` for each number. */
  async publish(numbers: Iterable<unknown>, at: { room: string; channel?: string } = PLACE, more: JsonObject = {}) {
    const address = at.channel === undefined ? at.room : `${at.room}:${at.channel}`;
    const sent = [...numbers].map((n) => this.bus.publish(address, { n, ...more }, { id: newId() }));
    return Promise.all(sent);
  }
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}
