// How a page calls by @connectrpc/connect-web; docs/grpc.md shows it.
import { ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";

import { ErrorInfoSchema } from "../generated/google/rpc/error_details_pb.js";
import { ProfileService } from "../generated/grimoire/user/v1/profile_service_pb.js";

/** Profiles, for whoever has the access token of the moment. */
export function profilesOf(baseUrl: string, accessToken: () => string) {
  const authorize: Interceptor = (next) => (request) => {
    request.header.set("authorization", `Bearer ${accessToken()}`);
    return next(request);
  };
  return createClient(ProfileService, createGrpcWebTransport({ baseUrl, interceptors: [authorize], defaultTimeoutMs: 10_000 }));
}

/** Why a call failed, such as `TOKEN_EXPIRED`; none where no answer came. */
export function reasonOf(thrown: unknown): string | undefined {
  const [info] = ConnectError.from(thrown).findDetails(ErrorInfoSchema);
  return info?.reason;
}
