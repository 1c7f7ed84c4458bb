import type { StreamSummary } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useLive } from '../components/live.ts';
import { Badge, Button, Empty, Note, Panel, type Tone } from '../components/parts.tsx';
import { useSubscription } from '../components/subscription.ts';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { ago, count, plural } from '../format/quantity.ts';
import { visible } from '../format/visible.ts';
import { StreamTexts } from '../model/stream-texts.ts';
import { link } from '../session/route.ts';
import { command } from '../session/session.ts';

const MOST = 100;
const TONES: Readonly<Record<string, Tone>> = { streaming: 'accent', complete: 'good', cancelled: 'warn' };

/** Open token streams, and the live text of one. */
export function TokenStreamsPanel(): VNode {
  const listed = useLive(() => command('stream.list', { limit: MOST }), 1_500);
  const [chosen, choose] = useState<StreamSummary>();
  const columns: readonly Column<StreamSummary>[] = [
    {
      name: 'Writer',
      cell: ({ sender, stream_id: id }) => visible(sender.name ?? sender.subject ?? id),
    },
    {
      name: 'Where',
      cell: ({ room, channel }) => (
        <a href={link('rooms', room, channel)}>
          {room}:{channel}
        </a>
      ),
    },
    { name: 'Length', cell: ({ length }) => count(length), right: true },
    { name: 'Opened', cell: ({ opened_at: at }) => ago(at), tight: true },
    {
      name: '',
      cell: (one) => (
        <Button
          small
          pressed={one.stream_id === chosen?.stream_id}
          onClick={() => choose(one.stream_id === chosen?.stream_id ? undefined : one)}
        >
          Read
        </Button>
      ),
      tight: true,
    },
  ];
  return (
    <Panel title="Texts being written" flush>
      {listed.problem !== '' && <Note tone="bad">{listed.problem}</Note>}
      <Table
        label="Open token streams"
        rows={listed.value?.streams ?? []}
        keyOf={({ stream_id: id }) => id}
        columns={columns}
        chosen={chosen?.stream_id}
        empty={
          <Empty title={listed.value === undefined ? 'Asking what is being written…' : 'Nothing is being written.'}>
            An agent that sends <code>stream.open</code> and then what its model says is shown here, word for word.
          </Empty>
        }
      />
      {chosen !== undefined && <Reader of={chosen} onClose={() => choose(undefined)} />}
    </Panel>
  );
}

interface ReaderProps {
  readonly of: StreamSummary;
  readonly onClose: () => void;
}

function Reader({ of: { stream_id: id, room, channel, sender }, onClose }: ReaderProps): VNode {
  // One per channel: a membership receives all streams of its channel.
  const texts = useMemo(() => new StreamTexts(), [room, channel]);
  const problem = useSubscription({ room, channel }, { history: 0, take: (envelope) => texts.take(envelope) });
  const known = texts.shown.value.get(id);
  const box = useRef<HTMLPreElement>(null);
  useEffect(() => {
    box.current?.scrollTo(0, box.current.scrollHeight);
  }, [known?.length]);
  const state = known?.state ?? 'streaming';
  const who = visible(sender.name ?? sender.subject ?? id);
  return (
    <section class="panel-body stack" aria-label={`Text of ${who}`}>
      <div class="row">
        <h3>{who}</h3>
        <Badge tone={TONES[state] ?? 'bad'}>{state === 'streaming' ? 'writing' : visible(state)}</Badge>
        <span class="muted">{plural(known?.length ?? 0, 'character')}</span>
        <span class="bar-spring" />
        {state === 'streaming' && (
          <Button
            small
            onClick={() =>
              void act(() => command('stream.cancel', { stream_id: id }), `${who} was asked to stop; it decides.`)
            }
          >
            Ask to stop
          </Button>
        )}
        <Button small tone="plain" label="Close the text" onClick={onClose}>
          ✕
        </Button>
      </div>
      {problem !== '' && <Note tone="bad">{problem}</Note>}
      {known !== undefined && known.length > known.text.length && (
        <span class="muted">The last {count(known.text.length)} of them:</span>
      )}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: keyboard users must be able to scroll it */}
      <pre class="stream-text" ref={box} tabIndex={0}>
        {visible(known?.text ?? '')}
      </pre>
    </section>
  );
}
