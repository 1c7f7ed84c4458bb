import type { Envelope } from '@arqonbus/protocol';
import { signal } from '@preact/signals';

/** A request that waits for a person. */
export interface Question {
  readonly id: string;
  /** The connection that asked. */
  readonly from: string;
  /** Whose mailbox an answer reaches when that connection is gone; undefined where nobody knows. */
  readonly subject: string | undefined;
  /** Who asked, as one reads it. */
  readonly who: string;
  readonly asked: string;
  /** RFC 3339; null: whoever asked has named none. */
  readonly deadline: string | null;
  readonly payload: Envelope['payload'];
}

/** Questions that are kept, and characters of JSON of all of them. */
const MAX_QUESTIONS = 100;
const MAX_CHARACTERS = 4_194_304;
/** Answered ones that are remembered: mail comes again until its time is over. */
const MAX_ANSWERED = 1_000;

/** The requests that came to somebody, the oldest first, until they are answered or their time is over. */
export class Questions {
  readonly open = signal<readonly Question[]>([]);
  /** Those that there was no room for. */
  readonly refused = signal(0);
  private readonly answered: Set<string>;
  private readonly sizes: Map<string, number> = new Map();
  private characters = 0;
  private readonly now: () => number;

  /** @param answered ids of those that were answered before */
  constructor(now: () => number = Date.now, answered: readonly string[] = []) {
    this.now = now;
    this.answered = new Set(answered);
  }

  /** Ids of what was answered, or left. */
  get settled(): readonly string[] {
    return [...this.answered];
  }

  /** Takes an envelope if it asks for an answer that can still be given. */
  take(envelope: Envelope): void {
    const question = this.questionOf(envelope);
    if (question === null || this.answered.has(question.id) || this.sizes.has(question.id)) return;
    this.sweep();
    const size = JSON.stringify(envelope).length;
    if (this.sizes.size >= MAX_QUESTIONS || this.characters + size > MAX_CHARACTERS) {
      this.refused.value += 1;
      return;
    }
    this.sizes.set(question.id, size);
    this.characters += size;
    this.open.value = [...this.open.value, question];
  }

  /** It is answered, or nobody wants to answer it. */
  settle(id: string): void {
    this.answered.add(id);
    const [oldest = ''] = this.answered;
    if (this.answered.size > MAX_ANSWERED) this.answered.delete(oldest);
    this.keep((one) => one.id !== id);
  }

  /** Lets go of those whose time is over. */
  sweep(): void {
    const now = this.now();
    if (this.open.value.some((one) => isOver(one, now))) this.keep((one) => !isOver(one, now));
  }

  clear(): void {
    this.keep(() => false);
    this.refused.value = 0;
  }

  private keep(wanted: (question: Question) => boolean): void {
    for (const one of this.open.value) {
      if (wanted(one)) continue;
      this.characters -= this.sizes.get(one.id) ?? 0;
      this.sizes.delete(one.id);
    }
    this.open.value = this.open.value.filter(wanted);
  }

  private questionOf({ id, from, timestamp, payload, metadata }: Envelope): Question | null {
    const { request, sender } = metadata ?? {};
    const deadline = deadlineOf(request);
    if (deadline === undefined || id === undefined || from === undefined) return null;
    const { name, subject } = sender ?? {};
    const question = {
      ...{ id, from, subject, deadline, payload },
      who: name ?? subject ?? from,
      asked: timestamp ?? '',
    };
    return isOver(question, this.now()) ? null : question;
  }
}

/** When an answer is of no use any more; undefined where none is wanted. */
function deadlineOf(request: unknown): string | null | undefined {
  // The mark of a client whose server knows no requests.
  if (request === true) return null;
  if (typeof request !== 'object' || request === null) return undefined;
  const { deadline } = request as { deadline?: unknown };
  return typeof deadline === 'string' ? deadline : null;
}

function isOver({ deadline }: Pick<Question, 'deadline'>, now: number): boolean {
  return deadline !== null && Date.parse(deadline) <= now;
}

/** What a person wrote, as a payload: a JSON object as it is, anything else as text. */
export function answerOf(written: string): Envelope['payload'] {
  try {
    const value: unknown = JSON.parse(written);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Envelope['payload'];
  } catch {
    // It is text then.
  }
  return { text: written };
}
