/** Where the page is served from, with a slash at its end: under a proxy's prefix too. */
export const BASE: string = new URL('.', document.baseURI.split(/[?#]/, 1)[0]).href;
