/** User and password of a URL, and all of its query: signed URLs of objects have their key there. */
const CREDENTIALS = /(\b[a-z][a-z0-9+.-]*:\/\/)[^/\s"'@]+@/gi;
const QUERY = /(\bhttps?:\/\/[^\s"'?\\]+)\?[^\s"'\\]+/gi;

/** The text as it may be logged and traced: URLs in it lose what lets others in. */
export function withoutSecrets(text: string): string {
  return text.includes('://') ? text.replace(CREDENTIALS, '$1***@').replace(QUERY, '$1?***') : text;
}
