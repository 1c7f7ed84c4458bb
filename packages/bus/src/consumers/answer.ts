import { randomToken } from '@arqonbus/protocol';
import type { Answerer, AnswerKind } from './answered.ts';
import { markDelivery } from './envelope.ts';
import type { GroupRecord } from './group.ts';

export interface Answer extends Answerer {
  readonly kind: AnswerKind;
  readonly tokens: readonly string[];
  readonly delayMs?: number | undefined;
  readonly reason?: string | undefined;
  /** It may have been accepted before, with its outcome lost. */
  readonly isAgain?: boolean;
}

export interface Answered {
  readonly done: string[];
  /** Void tokens. */
  readonly lost: string[];
}

const LIVE = 'live-';

/**
 * An envelope that is sent to a member without a lease: its token holds nothing, so any answer to it is done at once.
 */
export function markLive(text: string, { group, group_id }: GroupRecord, deadline: string): string {
  return markDelivery(text, { group, attempt: 1, token: `${group_id}.${LIVE}${randomToken(16)}`, deadline });
}

export function isLiveToken(token: string): boolean {
  return token.startsWith(LIVE, token.indexOf('.') + 1);
}
