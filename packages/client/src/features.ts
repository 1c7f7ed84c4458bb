import type { Welcome } from '@arqonbus/protocol';
import { ArqonBusError } from './errors.ts';
import type { Outgoing } from './queue.ts';

/**
 * What a server may have beyond the first parts of the protocol, as its welcome lists it.
 *
 * ```ts
 * const needed: Feature = 'groups';
 * ```
 */
export type Feature =
  | 'options'
  | 'groups'
  | 'mailboxes'
  | 'receipts'
  | 'requests'
  | 'wait'
  | 'presence-state'
  | 'patterns'
  | 'leases'
  | 'streams';

/** What a message needs of the server. */
export function featuresOf({ options, to }: Outgoing): Feature[] {
  const needed: Feature[] = [];
  if (options !== undefined) needed.push('options');
  if (options?.receipt !== undefined) needed.push('receipts');
  if (options?.request !== undefined) needed.push('requests');
  if ([to ?? []].flat().some((target) => target.startsWith('@'))) needed.push('mailboxes');
  return needed;
}

/** Whether the server that greeted has a feature. */
export function hasFeature(welcome: Welcome | undefined, feature: Feature): boolean {
  return (welcome as { features?: readonly string[] } | undefined)?.features?.includes(feature) === true;
}

/** Throws `FEATURE_MISSING` when the server has greeted and lacks one of these. */
export function requireFeatures(welcome: Welcome | undefined, features: Iterable<Feature>): void {
  if (welcome === undefined) return;
  for (const feature of features) {
    if (hasFeature(welcome, feature)) continue;
    throw new ArqonBusError('FEATURE_MISSING', `This server does not offer "${feature}"; use a newer ArqonBus server.`);
  }
}
