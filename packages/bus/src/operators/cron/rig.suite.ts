import type { CronJob } from '@arqonbus/protocol';
import type { Sender, Session } from '../../connection/session.ts';
import type { Engine } from '../../engine/engine.ts';
import { createMemoryEngine } from '../../engine/memory/memory.ts';
import { FakeClock } from '../fake-clock.suite.ts';
import { BusRig, ownerOf, turn, type Who } from '../rig.suite.ts';
import { type CronOperator, type CronOptions, createCronOperator } from './cron.ts';

function engineWith(clock: FakeClock): Engine {
  return createMemoryEngine({ now: () => clock.now() });
}

export interface Fired {
  readonly from: string;
  readonly payload: { readonly n: number };
  readonly metadata: { readonly iteration: number };
  readonly timestamp: string;
}

/** A bus with the operator and a clock that is moved by hand. */
export class Rig extends BusRig<CronOperator> {
  readonly clock: FakeClock;
  private readonly seen: { readonly address: string; readonly event: Fired }[] = [];

  constructor(clock: FakeClock, engine: Engine, options: CronOptions) {
    super(engine, (bus) => createCronOperator(bus, { clock, ...options }), { now: () => clock.now() });
    this.clock = clock;
    this.bus.hub.tap(({ stream, text }) => {
      this.seen.push({ address: `${stream.room}:${stream.channel}`, event: JSON.parse(text) });
    });
  }

  schedule(sender: Sender, args: object): Promise<CronJob> {
    return this.run(sender, 'op.cron.schedule', { room: 'r', channel: 'x', payload: { n: 1 }, ...args });
  }

  async jobs(sender: Sender): Promise<CronJob[]> {
    return (await this.run(sender, 'op.cron.list', {})).jobs;
  }

  /** What was published to a channel of the room, since this node started. */
  async fired(channel = 'x'): Promise<Fired[]> {
    // Publishing follows its timer by a turn.
    await turn();
    return this.seen.filter(({ address }) => address === `r:${channel}`).map(({ event }) => event);
  }

  /** A renewed token, or what a connection's token became. */
  renew(session: Session, who: Who): void {
    session.principal = ownerOf({ subject: session.principal.subject, ...who });
  }
}

export function open(options: CronOptions = {}, clock: FakeClock = new FakeClock(), engine?: Engine): Promise<Rig> {
  return new Rig(clock, engine ?? engineWith(clock), options).start();
}

export const MANY = { maxJobs: 100_000, maxJobsPerSubject: 100_000 };
export const EVERY_SECOND = { delay_seconds: 1, interval_seconds: 1, repeat_count: 0 };

export function iterationsOf(events: Fired[]): number[] {
  return events.map(({ metadata }) => metadata.iteration);
}
