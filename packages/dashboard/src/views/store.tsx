import type { CommandResult } from '@arqonbus/protocol';
import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import { JsonTree } from '../components/json-tree.tsx';
import { useLive } from '../components/live.ts';
import { Button, Empty, Field, Note, Panel, SureButton } from '../components/parts.tsx';
import { type Column, Table } from '../components/table.tsx';
import { act } from '../components/toasts.tsx';
import { preview } from '../format/preview.ts';
import { ago } from '../format/quantity.ts';
import { visible, visibleLine } from '../format/visible.ts';
import { command } from '../session/session.ts';

type Entry = NonNullable<CommandResult<'op.store.list'>['entries']>[number];

const PAGE = 100;

/** The keys of a namespace, with values and versions. */
export function StorePanel(): VNode {
  const [namespace, setNamespace] = useState('default');
  const [prefix, setPrefix] = useState('');
  const [pages, setPages] = useState<readonly string[]>(['']);
  const [chosen, choose] = useState<string>();
  const after = pages.at(-1) ?? '';
  const args = { namespace: namespace.trim() || 'default', prefix, limit: PAGE, values: true, ...(after && { after }) };
  const listed = useLive(() => command('op.store.list', args), 3_000, JSON.stringify(args));
  const entries = listed.value?.entries ?? [];
  const open = entries.find(({ key }) => key === chosen);
  const columns: readonly Column<Entry>[] = [
    {
      name: 'Key',
      cell: ({ key }) => (
        <button
          type="button"
          class="button small"
          data-item=""
          onClick={() => choose(key === chosen ? undefined : key)}
        >
          {visible(key)}
        </button>
      ),
    },
    { name: 'Version', cell: ({ version }) => version, right: true },
    { name: 'Expires', cell: ({ expires_at: at }) => (at === undefined ? 'never' : ago(at)), tight: true },
    { name: 'Value', cell: ({ value }) => <code>{visibleLine(preview(value, 160), 161)}</code> },
  ];
  const restart = (set: (text: string) => void) => (text: string) => {
    set(text);
    setPages(['']);
  };
  const next = listed.value?.next;
  return (
    <>
      <div class="filters">
        <Field label="Namespace" value={namespace} onInput={restart(setNamespace)} />
        <Field label="Keys that begin with" value={prefix} onInput={restart(setPrefix)} search grow />
      </div>
      {listed.problem !== '' && <Note tone="bad">{listed.problem}</Note>}
      {open !== undefined && (
        <div class="panel-body">
          <Panel
            title={`${visible(open.key)}, version ${open.version}`}
            actions={
              <SureButton
                small
                onClick={() =>
                  void act(
                    () =>
                      command('op.store.delete', {
                        namespace: args.namespace,
                        key: open.key,
                        if_version: open.version,
                      }),
                    'The key is deleted.',
                  ).then(listed.reload)
                }
              >
                Delete
              </SureButton>
            }
          >
            <JsonTree value={open.value} />
          </Panel>
        </div>
      )}
      <Table
        label="Keys"
        rows={entries}
        keyOf={({ key }) => key}
        columns={columns}
        chosen={chosen}
        empty={
          <Empty title={listed.value === undefined ? 'Reading the keys…' : 'There is no such key here.'}>
            <code>npx arqon store set job/1 '{'{"state":"running"}'}'</code> makes one in the namespace “default”.
          </Empty>
        }
      />
      {(pages.length > 1 || next !== undefined) && (
        <div class="panel-body row">
          <Button small disabled={pages.length <= 1} onClick={() => setPages(pages.slice(0, -1))}>
            Back
          </Button>
          <Button small disabled={next === undefined} onClick={() => next !== undefined && setPages([...pages, next])}>
            Next {PAGE}
          </Button>
        </div>
      )}
    </>
  );
}
