import { IDEMPOTENCE_WINDOW_MS, sealUnstored } from '@arqonbus/protocol';
import { type EngineEvents, type Publication, type Published, type StreamAddress, streamKey } from '../engine.ts';

const UNSTORED: Published = { sequence: 0, epoch: '', stored: 'none', delivered: 0, duplicate: false };
/** Ids remembered at most; the oldest are forgotten first. */
const MOST_IDS = 100_000;

/**
 * Traffic that goes on while nothing can be stored (degraded mode): handed to this node's members at once, without a
 * sequence, kept nowhere. It remembers which streams will have a gap to tell of, and for the idempotence window which
 * ids went through, so that one that is sent again is not delivered again, not even after the server is back.
 */
export class LiveTraffic {
  private readonly engine: EngineEvents;
  private readonly now: () => number;
  private readonly gaps = new Map<string, StreamAddress>();
  private readonly ids = new Map<string, number>();

  constructor(engine: EngineEvents, now: () => number) {
    this.engine = engine;
    this.now = now;
  }

  /** `attached`: this node has members who want it. */
  publish(publication: Publication, attached: boolean): Published {
    const repeated = this.repeated(publication);
    if (repeated !== null) return repeated;
    const { stream, draft } = publication;
    const key = streamKey(stream);
    this.remember(idOf(publication));
    this.gaps.set(key, stream);
    if (!attached) return UNSTORED;
    const text = sealUnstored(draft.open);
    return {
      ...UNSTORED,
      delivered: this.engine.deliver({ stream, sequence: 0, id: draft.id, from: draft.from, text }),
    };
  }

  /** What a publication that already went through live is answered; null for every other. */
  repeated(publication: Publication): Published | null {
    if (this.ids.size === 0) return null;
    const at = this.ids.get(idOf(publication));
    return at !== undefined && this.now() - at <= IDEMPOTENCE_WINDOW_MS ? { ...UNSTORED, duplicate: true } : null;
  }

  /** Something can be stored again: tells the members of every stream that had unstored traffic. */
  over(): void {
    const gaps = [...this.gaps.values()];
    this.gaps.clear();
    for (const stream of gaps) this.engine.historyGap(stream);
  }

  private remember(id: string): void {
    const now = this.now();
    for (const [oldest, at] of this.ids) {
      if (this.ids.size < MOST_IDS && now - at <= IDEMPOTENCE_WINDOW_MS) break;
      this.ids.delete(oldest);
    }
    this.ids.set(id, now);
  }
}

function idOf({ stream, draft, identity }: Publication): string {
  return `${streamKey(stream)} ${draft.id} ${identity}`;
}
