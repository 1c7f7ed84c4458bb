/** The URL of the page with a trailing slash, including a proxy's prefix. */
export const BASE: string = new URL('.', document.baseURI.split(/[?#]/, 1)[0]).href;
