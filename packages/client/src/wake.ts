/**
 * Calls back when a browser says that the network or the page has come back; elsewhere it never does. Returns the way
 * to stop.
 */
export function onWake(callback: () => void): () => void {
  const { document } = globalThis as { document?: Document };
  if (document === undefined) return () => {};
  const seen = (): void => {
    if (document.visibilityState === 'visible') callback();
  };
  globalThis.addEventListener('online', callback);
  document.addEventListener('visibilitychange', seen);
  return () => {
    globalThis.removeEventListener('online', callback);
    document.removeEventListener('visibilitychange', seen);
  };
}
