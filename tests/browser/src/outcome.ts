// What the tests are told of a call, alike for every client.

/** How a call went: `code` is `ok`, or a gRPC code in small letters. */
export interface Outcome {
  code: string;
  /** `ErrorInfo.reason` of a failure. */
  reason?: string;
  /** `BadRequest` of a failure. */
  violations?: { field: string; reason: string }[];
  /** What a call answered, in JSON's terms. */
  answer?: unknown;
  /** Heads of the answer that the page may read, by name. */
  head?: Record<string, string | null>;
}

/** Heads that the tests look for: of the last the browser tells a page of another origin nothing. */
const HEADS = ["x-request-id", "ratelimit", "ratelimit-policy", "vary"];

export function heads(read: (name: string) => string | null | undefined): Record<string, string | null> {
  return Object.fromEntries(HEADS.map((name) => [name, read(name) ?? null]));
}

/** The calls that the tests make, by each client. */
export interface Calls {
  profile(token?: string, milliseconds?: number): Promise<Outcome>;
  register(email: string): Promise<Outcome>;
  /** A stream to its end: what its records are of. */
  exported(token: string): Promise<Outcome>;
  /** Watches health until `wanted` messages have come, and then cancels. With `milliseconds`, until that deadline. */
  watch(wanted: number, milliseconds?: number): Promise<Outcome>;
}
