// @connectrpc/connect-web, over gRPC-Web.
import { Code, ConnectError, createClient, type CallOptions } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { BadRequestSchema } from "../generated/google/rpc/error_details_pb.js";
import { AccountService } from "../generated/grimoire/auth/v1/account_service_pb.js";
import { ProfileService } from "../generated/grimoire/user/v1/profile_service_pb.js";
import { Health } from "../generated/grpc/health/v1/health_pb.js";
import { profilesOf, reasonOf } from "./api.js";
import { heads, type Calls, type Outcome } from "./outcome.js";

export function connect(baseUrl: string): Calls {
  const transport = createGrpcWebTransport({ baseUrl });
  const signedOut = createClient(ProfileService, transport);
  const accounts = createClient(AccountService, transport);
  const health = createClient(Health, transport);
  return {
    profile: (token, timeoutMs) =>
      outcome(async (options) => {
        const profiles = token === undefined ? signedOut : profilesOf(baseUrl, () => token);
        const { profile } = await profiles.getProfile({ user: "me" }, { ...options, timeoutMs });
        return { id: profile?.id };
      }),
    register: (email) => outcome((options) => accounts.register({ email }, options)),
    exported: (token) =>
      outcome(async (options) => {
        const kinds: unknown[] = [];
        const headers = { authorization: `Bearer ${token}` };
        for await (const { record } of accounts.exportAccount({ account: "me" }, { ...options, headers })) {
          kinds.push(record.case);
        }
        return kinds;
      }),
    watch: async (wanted, timeoutMs) => {
      const statuses: number[] = [];
      const stop = new AbortController();
      const outcomeOf = await outcome(async (options) => {
        for await (const answer of health.watch({}, { ...options, signal: stop.signal, timeoutMs })) {
          statuses.push(answer.status);
          if (statuses.length === wanted) {
            stop.abort();
          }
        }
      });
      return { ...outcomeOf, answer: statuses };
    },
  };
}

async function outcome(call: (options: CallOptions) => Promise<unknown>): Promise<Outcome> {
  let head: Outcome["head"];
  const onHeader = (headers: Headers) => {
    head = heads((name) => headers.get(name));
  };
  try {
    return { code: "ok", answer: await call({ onHeader }), head };
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const [request] = error.findDetails(BadRequestSchema);
    return {
      code: snakeCase(Code[error.code]),
      reason: reasonOf(thrown),
      violations: request?.fieldViolations.map(({ field, reason }) => ({ field, reason })),
      head,
    };
  }
}

/** `InvalidArgument` as `invalid_argument`. */
function snakeCase(name = ""): string {
  return name.replace(/(?<=.)[A-Z]/g, (letter) => `_${letter}`).toLowerCase();
}
