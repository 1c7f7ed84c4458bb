import type { VNode } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import { Button, Choice, Empty, Field, Note, Panel } from '../components/parts.tsx';
import { TailList } from '../components/tail-list.tsx';
import { count } from '../format/quantity.ts';
import type { At } from '../model/at.ts';
import { EVERYTHING, type Filter, matcher } from '../model/filter.ts';
import type { Row, Tail } from '../model/tail.ts';
import { command, sentenceOf } from '../session/session.ts';

/** Messages per page of history. */
const PAGE = 200;

const TYPES: readonly (readonly [string, string])[] = [
  ['', 'any type'],
  ['event', 'event'],
  ['telemetry', 'telemetry'],
];

interface TailPanelProps extends At {
  readonly tail: Tail;
  readonly chosen: Row | undefined;
  readonly onChoose: (row: Row) => void;
}

/** The messages of a channel, live and back to the oldest stored one. */
export function TailPanel({ tail, room, channel, chosen, onChoose }: TailPanelProps): VNode {
  const [filter, setFilter] = useState<Filter>(EVERYTHING);
  const { isAtStart, problem, readOlder } = useHistory(tail, { room, channel });
  const { value: all } = tail.rows;
  const isFiltered = Object.values(filter).some((one) => one !== '');
  const rows = useMemo(() => {
    if (!isFiltered) return all;
    const matches = matcher(filter);
    return all.filter(({ envelope }) => matches(envelope));
  }, [all, filter, isFiltered]);
  const set = (change: Partial<Filter>): void => setFilter({ ...filter, ...change });
  const { value: isPaused } = tail.paused;
  const { value: skipped } = tail.skipped;
  const { value: waiting } = tail.waiting;
  return (
    <Panel
      title="Messages"
      flush
      actions={
        <span class="row" data-pause="">
          <Button small pressed={isPaused} onClick={() => tail.pause(!isPaused)}>
            {isPaused ? `Paused${waiting > 0 ? `, ${count(waiting)} waiting` : ''}` : 'Pause'}
          </Button>
          <Button small onClick={() => tail.clear()}>
            Clear
          </Button>
        </span>
      }
    >
      <div class="filters">
        <Field
          label="Text"
          placeholder="in the payload"
          value={filter.text}
          onInput={(text) => set({ text })}
          search
          grow
        />
        <Field
          label="Sender"
          placeholder="name, subject, id"
          value={filter.sender}
          onInput={(sender) => set({ sender })}
          grow
        />
        <Field label="JSON path" placeholder="order.id=42" value={filter.path} onInput={(path) => set({ path })} grow />
        <Choice label="Type" value={filter.type} options={TYPES} onChange={(type) => set({ type })} />
      </div>
      {problem !== '' && <Note tone="bad">{problem}</Note>}
      {rows.length === 0 ? (
        <Empty title={isFiltered ? 'No message passes the filter.' : 'No message here yet.'}>
          {isFiltered ? (
            <Button small onClick={() => setFilter(EVERYTHING)}>
              Show everything
            </Button>
          ) : (
            'Publish something: it appears here.'
          )}
        </Empty>
      ) : (
        <TailList tail={tail} rows={rows} chosen={chosen?.key} onChoose={onChoose} onTop={readOlder} />
      )}
      <div class="tail-foot" role="status">
        <span>
          {count(rows.length)} shown{isFiltered ? ` of ${count(all.length)}` : ''}
        </span>
        {skipped > 0 && <span>{count(skipped)} skipped: they came faster than they can be shown</span>}
        {isAtStart || all[0]?.sequence === 1 || all.length === 0 ? (
          <span>this is all that history keeps</span>
        ) : (
          <button type="button" class="link" onClick={readOlder}>
            older ones
          </button>
        )}
      </div>
    </Panel>
  );
}

/** Reads history backwards, page by page. */
function useHistory(tail: Tail, at: At): { isAtStart: boolean; problem: string; readOlder: () => void } {
  const [isAtStart, setAtStart] = useState(false);
  const [problem, setProblem] = useState('');
  const isReading = useRef(false);
  const readOlder = (): void => {
    const before = tail.rows.value.find(({ sequence }) => sequence !== undefined)?.sequence;
    if (isReading.current || isAtStart || before === undefined) return;
    if (before <= 1) {
      setAtStart(true);
      return;
    }
    isReading.current = true;
    command('history', { ...at, before, limit: PAGE })
      .then(
        ({ messages, previous }) => {
          tail.prepend(messages);
          if (previous === null || messages.length === 0) setAtStart(true);
        },
        (error) => setProblem(sentenceOf(error)),
      )
      .finally(() => {
        isReading.current = false;
      });
  };
  return { isAtStart, problem, readOlder };
}
