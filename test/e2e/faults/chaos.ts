import { setTimeout as pause } from 'node:timers/promises';
import type { Arena, Stretch } from './arena.ts';
import type { BusProcess } from './bus-process.ts';
import type { Random } from './random.ts';
import type { Moment } from './story.ts';

const LEAST_PAUSE_MS = 150;
const MOST_PAUSE_MS = 700;
const MOST_STARTS = 20;
/** Client connections break more often than servers do. */
const DICE = ['line', 'line', 'line', 'node', 'storage', 'worker', 'silence'] as const;
/** Maximum workers killed per minute, so that their server does not give up. */
const MOST_WORKERS = 8;

/** What was broken. */
export interface Damage {
  nodesKilled: number;
  storageKilled: number;
  /** Number of times that the storage server was frozen with its connections open. */
  storageFrozen: number;
  linesCut: number;
  /** Workers of a server, one at a time; never the process with their engine. */
  workersKilled: number;
  /** Number of times that one direction was blocked, to all clients of a node or to its storage. */
  halfCut: number;
}

/** Breaks things at random moments and repairs them after a while, for the duration of a storm. */
export class Chaos {
  readonly damage: Damage = {
    nodesKilled: 0,
    storageKilled: 0,
    storageFrozen: 0,
    linesCut: 0,
    workersKilled: 0,
    halfCut: 0,
  };
  /** Breakages and repairs with their times, except client connections. */
  readonly moments: Moment[] = [];
  private readonly arena: Arena;
  private readonly clients: readonly { cut(): void }[];
  private readonly random: Random;
  private readonly repairs: Promise<void>[] = [];
  private readonly down = new Set<BusProcess>();
  private readonly silent = new Set<Stretch>();
  private readonly workersKilledAt: number[] = [];
  private storageBusy = false;

  constructor(arena: Arena, clients: readonly { cut(): void }[], random: Random) {
    this.arena = arena;
    this.clients = clients;
    this.random = random;
  }

  /** Runs for this many seconds, and resolves when everything works again. */
  async rage(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      await pause(this.random.between(LEAST_PAUSE_MS, MOST_PAUSE_MS));
      const what = this.random.pick(DICE);
      if (what === 'node') this.breakNode();
      else if (what === 'storage' && this.arena.storage !== null) this.breakStorage();
      else if (what === 'worker' && this.mayKillWorker()) this.breakWorker();
      else if (what === 'silence') this.halfCut();
      else this.cutLine();
    }
    await Promise.all(this.repairs);
  }

  private cutLine(): void {
    this.damage.linesCut += 1;
    this.random.pick(this.clients).cut();
  }

  private breakNode(): void {
    const up = this.arena.nodes.filter((node) => !this.down.has(node));
    if (up.length === 0) return;
    const node = this.random.pick(up);
    const away = this.random.between(0, 1_500);
    this.damage.nodesKilled += 1;
    this.down.add(node);
    this.repair(async () => {
      await node.kill();
      this.note(`${node.name} (${new URL(node.url).host}) is killed`);
      await pause(away);
      await supervise(node);
      this.note(`${node.name} is back`);
      this.down.delete(node);
    });
  }

  private mayKillWorker(): boolean {
    const since = performance.now() - 60_000;
    return this.workers().length > 0 && this.workersKilledAt.filter((at) => at > since).length < MOST_WORKERS;
  }

  private workers(): number[] {
    return this.arena.nodes.filter((node) => !this.down.has(node)).flatMap(({ workers }) => workers);
  }

  /** Its server starts a replacement automatically. */
  private breakWorker(): void {
    const pid = this.random.pick(this.workers());
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has already exited.
      return;
    }
    this.damage.workersKilled += 1;
    this.workersKilledAt.push(performance.now());
    this.note(`the worker ${pid} is killed`);
  }

  /** Shorter or longer than the heartbeat timeout of both ends; held-back data arrives afterwards. */
  private halfCut(): void {
    const stretch = this.random.pick(this.arena.network);
    const direction = this.random.pick(['questions', 'answers'] as const);
    const lasts = this.random.between(100, 4_500);
    const breaks = this.random.fraction() < 0.3;
    if (this.silent.has(stretch)) return;
    const { name, proxy } = stretch;
    this.damage.halfCut += 1;
    this.silent.add(stretch);
    proxy.silence(direction);
    this.note(`the ${direction} of ${name} are held back`);
    this.repair(async () => {
      await pause(lasts);
      if (breaks) proxy.cut();
      else proxy.silence('none');
      this.silent.delete(stretch);
      this.note(`the ${direction} of ${name} ${breaks ? 'are lost with their lines' : 'come'}`);
    });
  }

  /** Unavailable for shorter or longer than a node waits for it. */
  private breakStorage(): void {
    const { storage } = this.arena;
    if (storage === null || this.storageBusy) return;
    const away = this.random.between(100, 4_500);
    const freeze = this.random.fraction() < 0.3;
    this.storageBusy = true;
    this.damage[freeze ? 'storageFrozen' : 'storageKilled'] += 1;
    this.repair(async () => {
      if (freeze) storage.freeze(true);
      else await storage.kill();
      this.note(`the storage is ${freeze ? 'frozen' : 'killed'}`);
      await pause(away);
      if (freeze) storage.freeze(false);
      else await storage.start();
      this.note('the storage is back');
      this.storageBusy = false;
    });
  }

  private note(what: string): void {
    this.moments.push({ at: Date.now(), what });
  }

  /** A failed repair fails the storm with its error. */
  private repair(work: () => Promise<void>): void {
    const done = work();
    done.catch(() => {});
    this.repairs.push(done);
  }
}

/** Restarts a node until it stays up: in strict mode it exits at once while its storage is unavailable. */
async function supervise(node: BusProcess): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await node.start();
    } catch (error) {
      if (tries === MOST_STARTS) throw error;
      await pause(LEAST_PAUSE_MS);
    }
  }
}
