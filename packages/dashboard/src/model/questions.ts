import type { Envelope } from '@arqonbus/protocol';
import { signal } from '@preact/signals';

/** A request that waits for a person. */
export interface Question {
  readonly id: string;
  /** The client id of the requester. */
  readonly from: string;
  /** The subject whose mailbox gets the answer if that connection is closed; undefined if unknown. */
  readonly subject: string | undefined;
  /** The requester's display name. */
  readonly who: string;
  readonly asked: string;
  /** RFC 3339; null: the request has no deadline. */
  readonly deadline: string | null;
  readonly payload: Envelope['payload'];
}

/** Maximum pending questions, and their total characters of JSON. */
const MAX_QUESTIONS = 100;
const MAX_CHARACTERS = 4_194_304;
/** Remembered ids of answered questions: mail is redelivered until it expires. */
const MAX_ANSWERED = 1_000;

/** Incoming requests, oldest first, until they are answered or expire. */
export class Questions {
  readonly open = signal<readonly Question[]>([]);
  /** Questions dropped because there was no room. */
  readonly refused = signal(0);
  private readonly answered: Set<string>;
  private readonly sizes: Map<string, number> = new Map();
  private characters = 0;
  private readonly now: () => number;

  /** @param answered ids of previously answered questions */
  constructor(now: () => number = Date.now, answered: readonly string[] = []) {
    this.now = now;
    this.answered = new Set(answered);
  }

  /** Ids of answered or dismissed questions. */
  get settled(): readonly string[] {
    return [...this.answered];
  }

  /** Adds an envelope if it is a request that can still be answered. */
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

  /** The question was answered or dismissed. */
  settle(id: string): void {
    this.answered.add(id);
    const [oldest = ''] = this.answered;
    if (this.answered.size > MAX_ANSWERED) this.answered.delete(oldest);
    this.keep((one) => one.id !== id);
  }

  /** Removes expired questions. */
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

/** The deadline for an answer; null if there is none, undefined if the envelope is not a request. */
function deadlineOf(request: unknown): string | null | undefined {
  // The marker of a client whose server does not support requests.
  if (request === true) return null;
  if (typeof request !== 'object' || request === null) return undefined;
  const { deadline } = request as { deadline?: unknown };
  return typeof deadline === 'string' ? deadline : null;
}

function isOver({ deadline }: Pick<Question, 'deadline'>, now: number): boolean {
  return deadline !== null && Date.parse(deadline) <= now;
}

/** Converts a person's input to a payload: a JSON object unchanged, anything else as text. */
export function answerOf(written: string): Envelope['payload'] {
  try {
    const value: unknown = JSON.parse(written);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Envelope['payload'];
  } catch {
    // Not JSON: it is text.
  }
  return { text: written };
}
