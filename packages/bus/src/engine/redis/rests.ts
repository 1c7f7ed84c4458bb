import type { History } from './history.ts';
import type { Keys } from './keys.ts';
import type { Link } from './link.ts';
import { inTurns, type Session } from './session.ts';

const STEP_MS = 1_000;
/** How long a node's step blocks the others: about one step per second, regardless of the number of nodes. */
const TURN_MS = 900;
/** Rooms, and streams of each, checked per step. */
const ROOMS = 50;
const STREAMS = 200;

/** Forgets idle streams, in small steps once a second, through all rooms in turn. */
export class Rests {
  private readonly keys: Keys;
  private readonly link: Link;
  private readonly history: History;
  private readonly timer: NodeJS.Timeout;
  private waiting: { readonly at: { readonly tenant: string; readonly room: string }; cursor: string }[] = [];
  private isBusy = false;

  constructor(keys: Keys, link: Link, history: History) {
    this.keys = keys;
    this.link = link;
    this.history = history;
    this.timer = setInterval(() => void this.step(), STEP_MS);
    this.timer.unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private async step(): Promise<void> {
    const { session } = this.link;
    if (session === null || this.isBusy) return;
    this.isBusy = true;
    try {
      const isOurs = await session.command('set', this.keys.restTurn, '1', 'PX', TURN_MS, 'NX');
      if (isOurs !== null) await this.look(session);
    } catch {
      // A lost connection, or a server that refuses: the next step tries again, and other code reports it.
    } finally {
      this.isBusy = false;
    }
  }

  private async look(session: Session): Promise<void> {
    if (this.waiting.length === 0) {
      this.waiting = (await this.history.allRooms(session)).map((at) => ({ at, cursor: '0' }));
    }
    const some = this.waiting.splice(0, ROOMS);
    await inTurns(some, async (each) => {
      each.cursor = await this.history.endRests(session, each.at, each.cursor, STREAMS);
    });
    this.waiting.push(...some.filter(({ cursor }) => cursor !== '0'));
  }
}
