import type { Welcome } from '@arqonbus/protocol';
import { ArqonBusError } from './errors.ts';
import type { Outgoing } from './queue.ts';

/**
 * Optional features of a server, as listed in its welcome.
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

/** The features that a message needs. */
export function featuresOf({ options, to }: Outgoing): Feature[] {
  const needed: Feature[] = [];
  if (options !== undefined) needed.push('options');
  if (options?.receipt !== undefined) needed.push('receipts');
  if (options?.request !== undefined) needed.push('requests');
  if ([to ?? []].flat().some((target) => target.startsWith('@'))) needed.push('mailboxes');
  return needed;
}

/** Whether the connected server has a feature. */
export function hasFeature(welcome: Welcome | undefined, feature: Feature): boolean {
  return (welcome as { features?: readonly string[] } | undefined)?.features?.includes(feature) === true;
}

/** Throws `FEATURE_MISSING` if the connected server lacks one of these. */
export function requireFeatures(welcome: Welcome | undefined, features: Iterable<Feature>): void {
  if (welcome === undefined) return;
  for (const feature of features) {
    if (hasFeature(welcome, feature)) continue;
    throw new ArqonBusError('FEATURE_MISSING', `This server does not offer "${feature}"; use a newer ArqonBus server.`);
  }
}
