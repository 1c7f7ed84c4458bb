/** What this release of the protocol can do beyond its first parts, as the welcome tells it in `features`. */
export const FEATURES: readonly string[] = [
  'options',
  'groups',
  'mailboxes',
  'receipts',
  'requests',
  'wait',
  'presence-state',
  'rules',
  'patterns',
  'leases',
  'streams',
];
