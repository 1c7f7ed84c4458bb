import type { KeyChange } from '../engine.ts';
import { Watchers } from '../watchers.ts';
import { decodeRecord, exact, exactText, type Keys, storeKeys } from './keys.ts';
import { inTurns, type Session } from './session.ts';

/** A change as published by the store's scripts: `ID OPERATION VERSION`; tenant, space, namespace, key, value lines. */
interface Notice {
  readonly id: string;
  readonly change: KeyChange;
}

/**
 * Reports changes on any node to watchers: live as they are published, and after a reconnect from the logs of the
 * watched spaces (with the current value of each changed key, since the log stores no values).
 */
export class Changes {
  private readonly keys: Keys;
  private readonly watchers = new Watchers();
  private readonly spaces = new Set<string>();
  /** By tenant and space, the last change reported. */
  private readonly told = new Map<string, string>();
  /** Earlier changes are ignored: nothing was watched yet. */
  private base: string | null = null;
  private held: Notice[] | null = null;

  constructor(keys: Keys) {
    this.keys = keys;
  }

  watch(space: string, onChange: (change: KeyChange) => void): () => void {
    this.spaces.add(space);
    return this.watchers.add(space, onChange);
  }

  accept(message: string): void {
    const notice = decodeNotice(message);
    if (this.held !== null) this.held.push(notice);
    else this.tell(notice);
  }

  /** Subscribes, and reports what changed since the last connection. */
  async establish(session: Session): Promise<void> {
    this.held = [];
    await session.subscribe([this.keys.changes]);
    const [seconds = '0', microseconds = '0'] = (await session.command('time')) as string[];
    if (this.base !== null) {
      for (const space of this.spaces) {
        const tenants = (await session.command('smembers', this.keys.spaceTenants(space))) as string[];
        await inTurns(tenants, (tenant) => this.replay(session, exactText(tenant), space));
      }
    }
    this.base ??= `${Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)}-0`;
    const { held } = this;
    this.held = null;
    for (const notice of held) if (this.isNews(notice)) this.tell(notice);
  }

  private tell({ id, change }: Notice): void {
    this.told.set(placeOf(change), id);
    this.watchers.notify(change);
  }

  /** Whether the log has not reported it yet. Live changes need no such check: no connection publishes twice. */
  private isNews({ id, change }: Notice): boolean {
    return isLater(id, this.told.get(placeOf(change)) ?? '0-0');
  }

  private async replay(session: Session, tenant: string, space: string): Promise<void> {
    const { log, entries } = storeKeys(this.keys, tenant, space);
    const since = this.told.get(`${tenant}\n${space}`) ?? this.base ?? '0-0';
    const logged = (await session.command('xrange', log, `(${since}`, '+')) as [string, [string, string]][];
    // Only the last change of a key can still be reported with its value.
    const latest = new Map<string, Notice>();
    for (const [id, [, text]] of logged) {
      const notice = decodeNotice(`${id} ${text}\n`);
      const name = `${exact(notice.change.at.namespace)}\n${exact(notice.change.key)}`;
      latest.delete(name);
      latest.set(name, notice);
    }
    for (const { id, change } of latest.values()) {
      const text = await session.command('hget', entries(change.at.namespace), exact(change.key));
      const record = typeof text === 'string' ? decodeRecord(change.key, text) : null;
      if (record === null)
        this.tell({
          id,
          change: change.operation === 'set' ? { ...change, operation: 'delete', value: null } : change,
        });
      else this.tell({ id, change: { ...change, operation: 'set', version: record.version, value: record.value } });
    }
  }
}

function decodeNotice(message: string): Notice {
  const lines = message.split('\n', 5);
  if (lines.length < 5) throw new Error('it is no change');
  const [head = '', tenant = '', space = '', namespace = '', key = ''] = lines;
  const [id = '', operation, version] = head.split(' ');
  const value = message.slice(lines.join('\n').length + 1);
  const kind = operation as KeyChange['operation'];
  return {
    id,
    change: {
      at: { tenant: exactText(tenant), space: exactText(space), namespace: exactText(namespace) },
      key: exactText(key),
      operation: kind,
      version: Number(version),
      value: kind === 'set' ? value : null,
    },
  };
}

function placeOf({ at }: KeyChange): string {
  return `${at.tenant}\n${at.space}`;
}

/** Whether one stream id, `MILLISECONDS-NUMBER`, comes after another. */
function isLater(id: string, than: string): boolean {
  const [time = '0', number = '0'] = id.split('-');
  const [otherTime = '0', otherNumber = '0'] = than.split('-');
  return Number(time) !== Number(otherTime) ? Number(time) > Number(otherTime) : Number(number) > Number(otherNumber);
}
