/** The capabilities added after the first version of the protocol, which the welcome lists in `features`. */
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
