import { SharedBackend } from '../cluster.suite.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { onEnd, openRig, type Rig, turn, type WebhookRigOptions } from './rig.suite.ts';

/** A cluster on one backend. Each node has a clock of its own, so that a dead one does nothing any more. */
export class Cluster {
  readonly backend: SharedBackend;
  private readonly clocks = new Map<Rig | null, FakeClock>();
  private readonly deaths = new Map<Rig, () => void>();

  private constructor(backend: SharedBackend, clock: FakeClock) {
    this.backend = backend;
    this.clocks.set(null, clock);
  }

  static async open(): Promise<Cluster> {
    const clock = new FakeClock();
    const backend = new SharedBackend(clock);
    await backend.open();
    onEnd(() => backend.close());
    return new Cluster(backend, clock);
  }

  async join(options: Omit<WebhookRigOptions, 'clock' | 'node'> = {}): Promise<Rig> {
    const clock = new FakeClock();
    const [other] = this.clocks.values();
    clock.advance((other?.now() ?? 0) - clock.now());
    const node = `node-${this.clocks.size}`;
    const { engine, die } = this.backend.node(node);
    const rig = await openRig({ clock, node, ...options }, engine);
    this.clocks.set(rig, clock);
    this.deaths.set(rig, die);
    await turn();
    return rig;
  }

  /** The node vanishes without a farewell. */
  kill(rig: Rig): void {
    this.deaths.get(rig)?.();
    this.clocks.delete(rig);
  }

  /** Lets time pass for every node that lives. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1_000) {
      for (const clock of this.clocks.values()) clock.advance(1_000);
      await turn();
    }
  }
}
