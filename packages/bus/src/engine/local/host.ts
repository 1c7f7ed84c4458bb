import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BusError } from '@arqonbus/protocol';
import type {
  Awaitable,
  Engine,
  EngineEvents,
  KeyChange,
  NodeMessage,
  NodeStatus,
  PresenceEntry,
  Published,
  StreamEvent,
} from '../engine.ts';
import { ChangeLog } from './change-log.ts';
import { Clients } from './clients.ts';
import type { FrameReader } from './frames.ts';
import { Line, type LineEvents } from './line.ts';
import {
  FRAME,
  type Hello,
  Origin,
  readPublication,
  readRetention,
  renumberEvent,
  spellRetention,
  writeEvent,
  writeJson,
  writePublished,
} from './messages.ts';

/**
 * Maximum bytes waiting for a worker to read. Beyond it its connection is cut: it reconnects and reads what it missed.
 */
const MAX_BACKLOG_BYTES = 64 * 1_048_576;
/** Bytes waiting for a worker at which the host stops reading its requests. */
const PAUSE_BYTES = 1_048_576;
/** The maximum socket path length on Linux and macOS. */
const MAX_PATH_BYTES = 103;

export interface EngineHostOptions {
  /** Where to create the private directory with the socket; by default the system's directory for temporary files. */
  readonly directory?: string;
  /** Maximum bytes waiting for one worker; 64 MiB. */
  readonly maxBacklogBytes?: number;
  /** Number of key changes kept for workers whose connection broke; 20,000. */
  readonly maxChanges?: number;
}

/** A single-node engine, served to workers on the same machine. */
export interface EngineHost {
  /** The path of the socket that workers connect to. */
  readonly path: string;
  /** Cuts the workers' connections, closes the engine, and removes the socket. */
  close(): Promise<void>;
}

/**
 * Opens an engine that runs in this process, memory or SQLite, and serves it over a Unix socket in a directory that
 * only this user can access. Rejects with one sentence if either fails. A degraded engine opens in any case.
 */
export async function hostEngine(engine: Engine, options: EngineHostOptions = {}): Promise<EngineHost> {
  if (engine.presence !== null) {
    throw new Error(`The ${engine.backend} engine serves several nodes by itself; workers open it themselves.`);
  }
  const host = new Host(engine, options);
  try {
    await host.open(options.directory ?? tmpdir());
    return host;
  } catch (error) {
    await host.close();
    throw error;
  }
}

class Host implements EngineHost {
  readonly engine: Engine;
  readonly clients = new Clients();
  readonly changes: ChangeLog;
  readonly maxBacklogBytes: number;
  /** Identifies this host run: its counters restart after a restart. */
  readonly run = `${process.pid}.${Date.now().toString(36)}.${Math.random().toString(36).slice(2)}`;
  reason = '';
  private readonly server: Server;
  private readonly peers = new Set<Peer>();
  private readonly byNode = new Map<string, Peer>();
  /** By tenant and room; `*` for peers that want all rooms. */
  private readonly interest = new Map<string, Map<string, Set<Peer>>>();
  private directory: string | null = null;
  private closing: Promise<void> | null = null;

  constructor(engine: Engine, { maxBacklogBytes = MAX_BACKLOG_BYTES, maxChanges }: EngineHostOptions) {
    this.engine = engine;
    this.maxBacklogBytes = maxBacklogBytes;
    this.changes = new ChangeLog(engine.store, (number, change) => this.tellChange(number, change), maxChanges);
    this.server = createServer({ highWaterMark: PAUSE_BYTES }, (socket) => void this.peers.add(new Peer(this, socket)));
  }

  get path(): string {
    return join(this.directory ?? '', 'bus.sock');
  }

  async open(parent: string): Promise<void> {
    await this.engine.open(this.events);
    this.directory = await mkdtemp(join(parent, 'arqonbus-'));
    await chmod(this.directory, 0o700);
    if (Buffer.byteLength(this.path) > MAX_PATH_BYTES) {
      throw new Error(`${this.path} is too long for a socket; set TMPDIR to a shorter directory.`);
    }
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(this.path, resolve);
    });
  }

  close(): Promise<void> {
    this.closing ??= this.shutDown();
    return this.closing;
  }

  private async shutDown(): Promise<void> {
    const ended = new Promise((resolve) => this.server.close(resolve));
    for (const peer of [...this.peers]) peer.line.cut('the host stops');
    await ended;
    this.changes.stop();
    await this.engine.close();
    if (this.directory !== null) await rm(this.directory, { recursive: true, force: true });
  }

  private readonly events: EngineEvents = {
    deliver: (event) => this.deliver(event),
    // No other node shares this engine.
    receive: () => {},
    health: (state) => {
      this.reason = state.reason;
      // Operations in flight are being rejected, and the workers must receive those rejections first.
      setImmediate(() => this.tellAll(['health', state]));
    },
    historyGap: (stream) => this.tellAll(['historyGap', stream]),
    gap: (tenant, room) => this.tellAll(['gap', tenant, room]),
    trimmed: (state) => this.tellAll(['trimmed', state]),
    warning: (sentence) => this.tellAll(['warning', sentence]),
  };

  /** Sends an event to the workers that want its room. Each worker counts its own connections. */
  private deliver(event: StreamEvent): number {
    const rooms = this.interest.get(event.stream.tenant);
    if (rooms === undefined) return 0;
    const origin = event.stream instanceof Origin ? event.stream : null;
    const wide = rooms.get('*');
    let written: Buffer | null = null;
    const give = (peer: Peer): void => {
      const number = origin?.publisher === peer ? origin.number : 0;
      written = peer.give(event, number, written);
    };
    for (const peer of rooms.get(event.stream.room) ?? []) give(peer);
    for (const peer of wide ?? []) if (!rooms.get(event.stream.room)?.has(peer)) give(peer);
    return 0;
  }

  private tellChange(number: number, change: KeyChange): void {
    for (const peer of this.peers) if (peer.spaces.has(change.at.space)) peer.tell(['change', number, change]);
  }

  private tellAll(told: Told): void {
    for (const peer of this.peers) if (peer.node !== null) peer.tell(told);
  }

  joined(peer: Peer, node: string): void {
    // The same worker reconnected before its old connection was found dead.
    this.byNode.get(node)?.line.cut('another connection has its name');
    this.byNode.set(node, peer);
  }

  left(peer: Peer): void {
    this.peers.delete(peer);
    for (const [tenant, rooms] of this.interest) {
      for (const [room, peers] of rooms) {
        peers.delete(peer);
        if (peers.size === 0) rooms.delete(room);
      }
      if (rooms.size === 0) this.interest.delete(tenant);
    }
    if (peer.node === null || this.byNode.get(peer.node) !== peer) return;
    this.byNode.delete(peer.node);
    this.clients.leave(peer.node);
  }

  attach(peer: Peer, tenant: string, room: string): void {
    const rooms = this.interest.get(tenant) ?? new Map<string, Set<Peer>>();
    this.interest.set(tenant, rooms);
    const peers = rooms.get(room) ?? new Set<Peer>();
    rooms.set(room, peers.add(peer));
  }

  detach(peer: Peer, tenant: string, room: string): void {
    const rooms = this.interest.get(tenant);
    const peers = rooms?.get(room);
    peers?.delete(peer);
    if (peers?.size === 0) rooms?.delete(room);
    if (rooms?.size === 0) this.interest.delete(tenant);
  }

  send(from: Peer, node: string | null, message: NodeMessage): void {
    for (const [name, peer] of this.byNode) {
      if (peer !== from && (node === null || node === name)) peer.tell(['message', message]);
    }
  }
}

/** A message to workers without a request. */
type Told = readonly [kind: string, ...facts: unknown[]];

/** A worker's connection on the host side. */
class Peer implements LineEvents {
  readonly line: Line;
  node: string | null = null;
  readonly spaces = new Set<string>();
  private readonly host: Host;

  constructor(host: Host, socket: Socket) {
    this.host = host;
    this.line = new Line(socket, this);
  }

  closed(): void {
    this.host.left(this);
  }

  frame(frame: FrameReader): void {
    switch (frame.type) {
      case FRAME.publish:
        this.publish(frame);
        break;
      case FRAME.request: {
        const number = frame.count();
        this.request(number, JSON.parse(frame.text()) as [string, ...unknown[]]);
        break;
      }
      case FRAME.hello:
        frame.count();
        this.hello(JSON.parse(frame.text()) as Hello);
        break;
      default:
        throw new Error(`A worker sends no frame of type ${frame.type}.`);
    }
    this.line.pauseUntilDrained();
  }

  /** Writes an event, or copies the frame written for another worker; returns the frame. */
  give(event: StreamEvent, number: number, written: Buffer | null): Buffer {
    const { out } = this.line;
    if (written === null) writeEvent(out, number, event);
    else {
      out.copy(written);
      renumberEvent(out.last, number);
    }
    const frame = out.last;
    this.wrote();
    return frame;
  }

  tell(told: Told): void {
    writeJson(this.line.out, FRAME.told, 0, told);
    this.wrote();
  }

  private wrote(): void {
    if (this.line.backlog > this.host.maxBacklogBytes) this.line.cut('it reads too slowly');
    else this.line.soon();
  }

  private hello({ node, told }: Hello): void {
    const { host } = this;
    const { engine, changes, run, reason } = host;
    this.node = node;
    host.joined(this, node);
    const missed = told?.run === run ? changes.since(told.change) : null;
    writeJson(this.line.out, FRAME.hello, 0, {
      backend: engine.backend,
      healthy: engine.healthy(),
      reason,
      warnings: engine.warnings ?? [],
      run,
      change: changes.number,
      isWhole: told === null || missed !== null,
      missed: missed ?? [],
    });
    this.wrote();
  }

  private publish(frame: FrameReader): void {
    const { number, publication } = readPublication(frame, this);
    const done = (published: Published): void => {
      writePublished(this.line.out, number, published);
      this.wrote();
    };
    this.settle(number, () => this.host.engine.broker.publish(publication), done);
  }

  private request(number: number, [method, ...args]: [string, ...unknown[]]): void {
    const run = Object.hasOwn(METHODS, method) ? METHODS[method] : undefined;
    if (run === undefined) throw new Error(`There is no method ${method}.`);
    const done = (answer: unknown): void => {
      if (number === 0) return;
      writeJson(this.line.out, FRAME.answer, number, answer ?? null);
      this.wrote();
    };
    this.settle(number, () => run(this.host, this, args as never[]), done);
  }

  private settle<T>(number: number, act: () => Awaitable<T>, done: (answer: T) => void): void {
    const failed = (error: unknown): void => this.fail(number, error);
    try {
      const answer = act();
      if (answer instanceof Promise) answer.then(done, failed);
      else done(answer);
    } catch (error) {
      failed(error);
    }
  }

  private fail(number: number, error: unknown): void {
    if (number === 0) return;
    const { message } = error as Error;
    const failure = error instanceof BusError ? { code: error.code, message, details: error.details } : { message };
    writeJson(this.line.out, FRAME.failure, number, failure);
    this.wrote();
  }
}

type Method = (host: Host, peer: Peer, args: never[]) => Awaitable<unknown>;

/** The methods a worker can call, named as in the engine's contracts. */
const METHODS: Readonly<Record<string, Method>> = {
  attach: (host, peer, [tenant, room]: string[]) => host.attach(peer, tenant as string, room as string),
  detach: (host, peer, [tenant, room]: string[]) => host.detach(peer, tenant as string, room as string),
  state: ({ engine }, _peer, [stream]) => engine.broker.state(stream as never),
  find: ({ engine }, _peer, [stream]) => engine.broker.find(stream as never),
  history: ({ engine }, _peer, [stream, query]) => engine.broker.history(stream as never, query as never),
  streams: ({ engine }, _peer, [tenant, room]) => engine.broker.streams(tenant as never, room ?? undefined),
  streamTenants: ({ engine }) => engine.broker.tenants(),
  retentionOf: async ({ engine }, _peer, [stream]) => {
    const retention = await engine.broker.retentionOf(stream as never);
    return retention === null ? null : spellRetention(retention);
  },
  usage: ({ engine }, _peer, [streams]) => engine.broker.usage(streams as never),
  retain: ({ engine }, _peer, [stream, retention]) =>
    engine.broker.retain(stream as never, readRetention(retention as never)),
  drop: ({ engine }, _peer, [stream]) => engine.broker.drop(stream as never),
  claim: ({ engine }, _peer, [key, windowMs]) => engine.broker.claim(key as never, windowMs as never),
  get: ({ engine }, _peer, [at, key]) => engine.store.get(at as never, key as never),
  set: ({ engine }, _peer, [at, key, value, options]) =>
    engine.store.set(at as never, key as never, value as never, options ?? undefined),
  delete: ({ engine }, _peer, [at, key, version]) =>
    engine.store.delete(at as never, key as never, version ?? undefined),
  list: ({ engine }, _peer, [at, query]) => engine.store.list(at as never, query as never),
  spaces: ({ engine }) => engine.store.spaces(),
  tenants: ({ engine }, _peer, [space]) => engine.store.tenants(space as never),
  watch: (host, peer, [space]: string[]) => {
    host.changes.watch(space as string);
    peer.spaces.add(space as string);
  },
  announce: ({ clients }, peer, [entry]: PresenceEntry[]) =>
    clients.announce({ ...(entry as PresenceEntry), node: peer.node as string }),
  withdraw: ({ clients }, _peer, [tenant, clientId]) => clients.withdraw(tenant as never, clientId as never),
  findClients: ({ clients }, peer, [tenant, target]) =>
    clients.find(tenant as never, target as never, peer.node as string),
  listClients: ({ clients }, peer, [tenant, room, channel]) =>
    clients.list(tenant as never, room ?? undefined, channel ?? undefined, peer.node as string),
  send: (host, peer, [node, message]) => host.send(peer, node as never, message as never),
  report: ({ clients }, _peer, [status]: NodeStatus[]) => clients.report(status as NodeStatus),
  stats: ({ engine }) => engine.stats(),
  // Answered once all previous requests are done.
  ping: () => null,
  // A worker's last request: once answered, its clients are gone for the others.
  leave: ({ clients }, peer) => clients.leave(peer.node as string),
};
