import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';

export type Tone = '' | 'good' | 'warn' | 'bad' | 'accent';

interface PanelProps {
  readonly title: string;
  /** Buttons and figures to the right of the title. */
  readonly actions?: ComponentChildren;
  /** Without inner margin, for tables. */
  readonly flush?: boolean;
  readonly children: ComponentChildren;
}

export function Panel({ title, actions, flush = false, children }: PanelProps): VNode {
  return (
    <section class="panel" aria-label={title}>
      <div class="panel-head">
        <h2>{title}</h2>
        {actions}
      </div>
      {flush ? children : <div class="panel-body">{children}</div>}
    </section>
  );
}

/** Placeholder for missing content: what is missing, and what to do next. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ComponentChildren }): VNode {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Note({ tone, children }: { readonly tone: Tone; readonly children: ComponentChildren }): VNode {
  return (
    <div class={`note ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      {children}
    </div>
  );
}

export function Badge({ tone = '', children }: { readonly tone?: Tone; readonly children: ComponentChildren }): VNode {
  return <span class={`badge ${tone}`}>{children}</span>;
}

interface ButtonProps {
  readonly onClick: () => void;
  readonly tone?: 'primary' | 'danger' | 'plain';
  readonly small?: boolean;
  readonly disabled?: boolean;
  /** For a switch: whether it is on. */
  readonly pressed?: boolean;
  readonly label?: string;
  readonly children: ComponentChildren;
}

export function Button({ onClick, tone, small, disabled, pressed, label, children }: ButtonProps): VNode {
  return (
    <button
      type="button"
      class={`button ${tone ?? ''} ${small ? 'small' : ''}`}
      onClick={onClick}
      disabled={disabled ?? false}
      aria-pressed={pressed}
      aria-label={label}
    >
      {children}
    </button>
  );
}

/** How long to wait for the confirming click, milliseconds. */
const SURE_MS = 4_000;

/** A button for irreversible actions: it asks for confirmation in place. */
export function SureButton({ onClick, children, ...rest }: ButtonProps): VNode {
  const [isAsking, ask] = useState(false);
  useEffect(() => {
    if (!isAsking) return;
    const timer = setTimeout(() => ask(false), SURE_MS);
    return () => clearTimeout(timer);
  }, [isAsking]);
  const press = (): void => {
    ask(!isAsking);
    if (isAsking) onClick();
  };
  return (
    <Button {...rest} tone="danger" onClick={press}>
      {isAsking ? 'Really?' : children}
    </Button>
  );
}

interface FieldProps {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly type?: 'text' | 'password' | 'number';
  readonly placeholder?: string;
  /** The field focused by `/`. */
  readonly search?: boolean;
  readonly grow?: boolean;
  readonly autocomplete?: string;
}

export function Field({
  label,
  value,
  onInput,
  type = 'text',
  placeholder,
  search,
  grow,
  autocomplete,
}: FieldProps): VNode {
  return (
    <label class={`field ${grow ? 'grow' : ''}`}>
      {label}
      <input
        class="input"
        type={type as 'text'}
        value={value}
        placeholder={placeholder}
        autocomplete={autocomplete ?? 'off'}
        spellcheck={false}
        data-search={search ? '' : undefined}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
    </label>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, text: string])[];
  readonly onChange: (value: string) => void;
}

export function Choice({ label, value, options, onChange }: ChoiceProps): VNode {
  return (
    <label class="field">
      {label}
      <select class="input" value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {options.map(([one, text]) => (
          <option key={one} value={one}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Names and values, in columns. */
export function Facts({ of }: { readonly of: readonly (readonly [name: string, value: ComponentChildren])[] }): VNode {
  return (
    <dl class="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

interface TabsProps {
  readonly label: string;
  readonly tabs: readonly string[];
  readonly chosen: string;
  readonly onChoose: (tab: string) => void;
}

export function Tabs({ label, tabs, chosen, onChoose }: TabsProps): VNode {
  const move = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const next = tabs[(tabs.indexOf(chosen) + step + tabs.length) % tabs.length] as string;
    onChoose(next);
    const list = event.currentTarget as HTMLElement;
    requestAnimationFrame(() => list.querySelector<HTMLElement>('[aria-selected="true"]')?.focus());
  };
  return (
    <div class="tabs" role="tablist" aria-label={label} onKeyDown={move} tabIndex={-1}>
      {tabs.map((tab) => (
        <button
          key={tab}
          type="button"
          role="tab"
          aria-selected={tab === chosen}
          tabIndex={tab === chosen ? 0 : -1}
          onClick={() => onChoose(tab)}
        >
          {tab}
        </button>
      ))}
    </div>
  );
}
