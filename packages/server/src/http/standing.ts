import type { Batch, Frame } from '@arqonbus/bus';
import { eventFrame } from './event-frame.ts';
import { type Place, Positions, type Resumed } from './positions.ts';

/** With more memberships, the position is sent at the end of a batch instead of with every event. */
const FEW_MEMBERSHIPS = 16;
/** Within a long batch it is sent after this many bytes too. */
const MAX_BYTES_WITHOUT_POSITION = 65_536;

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
  /** Memberships and pending joins. */
  private readonly places: readonly Place[];
  private readonly positions: Positions;
  /** The last position sent. */
  private readonly told: string;

  private constructor(
    members: readonly Place[],
    pending: ReadonlyMap<string, Resumed>,
    places: readonly Place[],
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
    return new Standing([], new Map(joins), [...joins.values()], Positions.of([...joins.values()]), '');
  }

  /** The standing with these memberships. */
  of(memberships: ReadonlyMap<Place, unknown>): Standing {
    if (this.hasMembers(memberships)) return this;
    const { pending, positions, told } = this;
    const members = [...memberships.keys()];
    return new Standing(members, pending, placesOf(members, pending), positions, told);
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
    const parts: (string | Buffer)[] = [];
    let bytesSince = 0;
    let isTold = false;
    const idLine = (): string => {
      const text = positions.text(places);
      isTold = positions.isWhole;
      if (text === told || text === '') return '';
      told = text;
      return `id: ${text}\n`;
    };
    // Without data it is not an event, but it updates the reader's last event id.
    const pushIdAlone = (): void => {
      const line = idLine();
      if (line !== '') parts.push(`${line}\n`);
      bytesSince = 0;
    };
    for (const frame of frames) {
      const { data, at, answers, joined, retryMs } = eventFrame(frame);
      if (answers !== undefined && pending.has(answers)) {
        pending = new Map([...pending].filter(([id]) => id !== answers));
        places = placesOf(members, pending);
      }
      const isMoved = at !== undefined || joined !== undefined;
      if (isMoved) {
        if (positions === this.positions) positions = positions.copy();
        positions.follow(places);
      }
      if (at !== undefined) positions.advance(at);
      else if (joined?.positions !== undefined) {
        positions.joined(joined.room, joined.positions, joined.recovered !== undefined);
      }
      const head = `${retryMs === undefined ? '' : `retry: ${retryMs}\n`}${isMoved && hasFew ? idLine() : ''}`;
      if (head !== '') parts.push(head);
      parts.push(data);
      bytesSince += data.length;
      if (isMoved && !hasFew && bytesSince >= MAX_BYTES_WITHOUT_POSITION) pushIdAlone();
    }
    if (!hasFew && positions !== this.positions) pushIdAlone();
    const after = new Standing(members, pending, places, positions, told);
    return { bytes: join(parts), after, told: isTold ? told : '' };
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

function placesOf(members: readonly Place[], pending: ReadonlyMap<string, Resumed>): readonly Place[] {
  return pending.size === 0 ? members : [...members, ...pending.values()];
}

/** The texts among the parts are ASCII, as the names of rooms and channels are. */
function join(parts: readonly (string | Buffer)[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const part of parts) {
    if (typeof part === 'string') bytes.write(part, at, 'latin1');
    else bytes.set(part, at);
    at += part.length;
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

function stepsOf(batch: Batch): Steps {
  if (batch.made instanceof Steps) return batch.made;
  const steps = new Steps();
  batch.made = steps;
  return steps;
}
