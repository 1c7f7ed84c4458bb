import type { VNode } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { clock } from '../format/quantity.ts';
import type { Row, Tail } from '../model/tail.ts';

/** Rows rendered above and below the visible ones. */
const OVERSCAN = 10;

interface TailListProps {
  readonly tail: Tail;
  readonly rows: readonly Row[];
  readonly chosen: number | undefined;
  readonly onChoose: (row: Row) => void;
  /** The top was reached: load older rows. */
  readonly onTop: () => void;
}

/** The height of a row in pixels: two lines of text. */
function rowHeight(): number {
  return 2 * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
}

/**
 * A virtual list with rows of equal height. Scrolled to the end, it follows new rows; otherwise it keeps its position.
 */
export function TailList({ tail, rows, chosen, onChoose, onTop }: TailListProps): VNode {
  const box = useRef<HTMLDivElement>(null);
  const anchor = useRef<{ readonly key: number; readonly offset: number } | null>(null);
  const isFollowing = useRef(true);
  const height = rowHeight();
  const [view, setView] = useState({ top: 0, size: 600 });

  useLayoutEffect(() => {
    const { current: element } = box;
    if (element === null) return;
    if (isFollowing.current) element.scrollTop = element.scrollHeight;
    else if (anchor.current !== null) {
      const { key, offset } = anchor.current;
      const index = rows.findIndex((row) => row.key === key);
      if (index >= 0) element.scrollTop = index * height + offset;
    }
  }, [rows, height]);

  useEffect(() => {
    const { current: element } = box;
    if (element === null) return;
    const watcher = new ResizeObserver(() => setView({ top: element.scrollTop, size: element.clientHeight }));
    watcher.observe(element);
    return () => watcher.disconnect();
  }, []);

  const scrolled = (): void => {
    const { current: element } = box;
    if (element === null) return;
    const { scrollTop, clientHeight, scrollHeight } = element;
    isFollowing.current = scrollHeight - scrollTop - clientHeight < height;
    const first = Math.floor(scrollTop / height);
    const row = rows[first];
    anchor.current = row === undefined ? null : { key: row.key, offset: scrollTop - first * height };
    setView({ top: scrollTop, size: clientHeight });
    if (scrollTop < 4 * height && !isFollowing.current) onTop();
  };

  const from = Math.max(0, Math.floor(view.top / height) - OVERSCAN);
  const until = Math.min(rows.length, Math.ceil((view.top + view.size) / height) + OVERSCAN);
  return (
    <section class="tail" ref={box} onScroll={scrolled} aria-label="Messages" data-tail="">
      <div class="tail-space" style={{ height: `${rows.length * height}px` }}>
        {rows.slice(from, until).map((row, index) => (
          <button
            key={row.key}
            type="button"
            class="tail-row"
            data-item=""
            aria-pressed={row.key === chosen}
            style={{ transform: `translateY(${(from + index) * height}px)` }}
            onClick={() => onChoose(row)}
          >
            <span class="muted number">{row.sequence ?? 'live'}</span>
            <span class="muted number time">{clock(row.envelope.timestamp ?? '')}</span>
            <span>{row.sender}</span>
            <span class="mono">{tail.preview(row.envelope)}</span>
          </button>
        ))}
      </div>
    </section>
  );
}
