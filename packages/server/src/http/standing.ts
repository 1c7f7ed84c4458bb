import type { Batch, Frame } from '@arqonbus/bus';
import { eventFrame } from './event-frame.ts';
import { type Place, Places, Positions, type Resumed } from './positions.ts';

/** With more memberships, the position is sent once per batch instead of with every event. */
const FEW_MEMBERSHIPS = 16;

/** What a batch is for a reader: the bytes it is sent, and its standing after them. */
export interface Step {
  readonly bytes: Buffer;
  readonly after: Standing;
}

/**
 * Everything that determines the `id` lines of a reader's next events. A standing does not change, so readers with equal
 * memberships and positions share one, and with it the bytes of a batch.
 */
export class Standing {
  private readonly members: readonly Place[];
  /** Joins without an answer, by request id; they are part of the position too. */
  private readonly pending: ReadonlyMap<string, Resumed>;
  private readonly places: Places;
  private readonly positions: Positions;
  /** The last position sent. */
  private readonly told: string;

  private constructor(
    members: readonly Place[],
    pending: ReadonlyMap<string, Resumed>,
    places: Places,
    positions: Positions,
    told: string,
  ) {
    this.members = members;
    this.pending = pending;
    this.places = places;
    this.positions = positions;
    this.told = told;
  }

  /** @param joins the initial joins, by request id */
  static start(joins: ReadonlyMap<string, Resumed>): Standing {
    const positions = new Positions();
    positions.seed([...joins.values()]);
    return new Standing([], new Map(joins), new Places(joins.values()), positions, '');
  }

  /** The standing with these memberships. */
  of(memberships: ReadonlyMap<Place, unknown>): Standing {
    if (this.hasMembers(memberships)) return this;
    const { pending, positions, told } = this;
    const members = [...memberships.keys()];
    return new Standing(members, pending, new Places([...members, ...pending.values()]), positions, told);
  }

  /** What the batch is for readers of this standing; computed once for all of them. */
  take(batch: Batch): Step {
    const steps = stepsOf(batch);
    let step = steps.byStanding.get(this);
    if (step === undefined) {
      step = steps.unify(this.compute(batch.frames()));
      steps.byStanding.set(this, step);
    }
    return step;
  }

  /** Whether both send the same `id` lines from now on, if they last sent the same one. */
  isLike({ members, pending }: Standing): boolean {
    const own = this.members;
    if (this.pending.size > 0 || pending.size > 0 || members.length !== own.length) return false;
    return members.every((place, index) => place === own[index]);
  }

  private compute(frames: readonly Frame[]): Computed {
    const { members } = this;
    let { pending, places, positions, told } = this;
    const hasFew = members.length <= FEW_MEMBERSHIPS;
    const heads: string[] = [];
    const bodies: Buffer[] = [];
    let isTold = false;
    const idLine = (): string => {
      const text = positions.text(places);
      isTold = positions.isWhole;
      if (text === told || text === '') return '';
      told = text;
      return `id: ${text}\n`;
    };
    for (const frame of frames) {
      const { data, at, answers, joined, retryMs } = eventFrame(frame);
      if (answers !== undefined && pending.has(answers)) {
        pending = new Map([...pending].filter(([id]) => id !== answers));
        places = new Places([...members, ...pending.values()]);
      }
      const isMoved = at !== undefined || joined !== undefined;
      if (isMoved && positions === this.positions) positions = positions.copy();
      if (at !== undefined) positions.advance(at);
      else if (joined?.positions !== undefined) {
        positions.joined(joined.room, joined.positions, joined.recovered !== undefined);
      }
      heads.push(`${retryMs === undefined ? '' : `retry: ${retryMs}\n`}${isMoved && hasFew ? idLine() : ''}`);
      bodies.push(data);
    }
    if (!hasFew && positions !== this.positions) {
      // Without data it is not an event, but it updates the reader's last event id.
      const line = idLine();
      heads.push(line === '' ? '' : `${line}\n`);
    }
    const after = new Standing(members, pending, places, positions, told);
    return { bytes: join(heads, bodies), after, told: isTold ? told : '' };
  }

  private hasMembers(memberships: ReadonlyMap<Place, unknown>): boolean {
    const { members } = this;
    if (memberships.size !== members.length) return false;
    let index = 0;
    for (const place of memberships.keys()) {
      if (place !== members[index]) return false;
      index += 1;
    }
    return true;
  }
}

/** Each head and the body after it. Heads are ASCII, as the names of rooms and channels are. */
function join(heads: readonly string[], bodies: readonly Buffer[]): Buffer {
  let length = 0;
  for (const head of heads) length += head.length;
  for (const body of bodies) length += body.length;
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const [index, head] of heads.entries()) {
    at += bytes.write(head, at, 'latin1');
    const body = bodies[index];
    if (body === undefined) continue;
    bytes.set(body, at);
    at += body.length;
  }
  return bytes;
}

interface Computed extends Step {
  /** The position of `after` as text, if it was sent whole; otherwise empty. */
  readonly told: string;
}

/** The steps of one batch. */
class Steps {
  readonly byStanding: Map<Standing, Step> = new Map();
  /** The standings after them, by position. */
  private readonly ends: Map<string, Standing> = new Map();

  /** Readers that started apart share a standing from where they meet. */
  unify(step: Computed): Step {
    const { bytes, after, told } = step;
    if (told === '') return step;
    const known = this.ends.get(told);
    if (known?.isLike(after) === true) return { bytes, after: known };
    this.ends.set(told, after);
    return step;
  }
}

/** A batch lives for one turn. */
const made: WeakMap<Batch, Steps> = new WeakMap();

function stepsOf(batch: Batch): Steps {
  let steps = made.get(batch);
  if (steps === undefined) {
    steps = new Steps();
    made.set(batch, steps);
  }
  return steps;
}
