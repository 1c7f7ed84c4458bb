/** Variables of the command-line client and of the build: no settings of the server, and yet known. */
export const CLIENT_VARIABLES: readonly string[] = [
  'ARQONBUS_WS_URL',
  'ARQONBUS_HTTP_URL',
  'ARQONBUS_TOKEN',
  'ARQONBUS_BUILD_COMMIT',
  'ARQONBUS_BUILD_DATE',
];
