const SCHEMES: readonly string[] = ['redis:', 'rediss:'];

/** What is wrong with the URL of a Redis server; undefined: nothing. It is not repeated, as it may have a password. */
export function redisUrlProblem(text: string): string | undefined {
  if (URL.canParse(text) && SCHEMES.includes(new URL(text).protocol)) return undefined;
  return 'The URL of Redis must be like redis://host:6379, rediss://user:password@host:6379/0 for TLS, or redis:///path/of/a.sock.';
}
