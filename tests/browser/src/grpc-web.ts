// grpc-web, which knows of a message only how it is written and read: here by protobuf-es, so that both clients share one generator.
import { create, fromBinary, toBinary, type DescMethod, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { GrpcWebClientBase, MethodDescriptor, MethodType, RpcError, StatusCode, type Metadata } from "grpc-web";

import { BadRequestSchema, ErrorInfoSchema } from "../generated/google/rpc/error_details_pb.js";
import { StatusSchema } from "../generated/google/rpc/status_pb.js";
import { AccountService } from "../generated/grimoire/auth/v1/account_service_pb.js";
import { ProfileService } from "../generated/grimoire/user/v1/profile_service_pb.js";
import { Health } from "../generated/grpc/health/v1/health_pb.js";
import { heads, type Calls, type Outcome } from "./outcome.js";

/** `text` is base64, by which messages of a stream reach the page as they come; `binary` is read when the stream has ended. */
export function grpcWeb(baseUrl: string, format: "text" | "binary"): Calls {
  const client = new GrpcWebClientBase({ format });
  const path = (method: DescMethod) => `${baseUrl}/${method.parent.typeName}/${method.name}`;

  function unary<M extends DescMethod>(method: M, request: MessageInitShape<M["input"]>, metadata: Metadata): Promise<Outcome> {
    return new Promise((resolve) => {
      let head: Outcome["head"];
      const message = create(method.input, request) as MessageShape<M["input"]>;
      const call = client.rpcCall(path(method), message, metadata, descriptor(method), (error, answer) =>
        resolve(error ? { ...failure(error), head } : { code: "ok", answer, head }),
      );
      call.on("metadata", (told) => {
        head = heads((name) => told[name]);
      });
    });
  }

  /** Answers what `read` makes of each message; cancels when `wanted` have come. */
  function stream<M extends DescMethod>(
    method: M,
    request: MessageInitShape<M["input"]>,
    metadata: Metadata,
    read: (message: MessageShape<M["output"]>) => unknown,
    wanted = Infinity,
  ): Promise<Outcome> {
    return new Promise((resolve) => {
      const answer: unknown[] = [];
      const message = create(method.input, request) as MessageShape<M["input"]>;
      const call = client.serverStreaming(path(method), message, metadata, descriptor(method));
      call.on("data", (message) => {
        answer.push(read(message));
        if (answer.length === wanted) {
          call.cancel();
          resolve({ code: "canceled", answer });
        }
      });
      call.on("error", (error) => resolve({ ...failure(error), answer }));
      call.on("end", () => resolve({ code: "ok", answer }));
    });
  }

  return {
    async profile(token, milliseconds) {
      const metadata = { ...(token && { authorization: `Bearer ${token}` }), ...deadline(milliseconds) };
      const outcome = await unary(ProfileService.method.getProfile, { user: "me" }, metadata);
      const { profile } = (outcome.answer ?? {}) as MessageShape<typeof ProfileService.method.getProfile.output>;
      return { ...outcome, answer: profile && { id: profile.id } };
    },
    register: (email) => unary(AccountService.method.register, { email }, {}),
    exported: (token) => {
      const metadata = { authorization: `Bearer ${token}` };
      return stream(AccountService.method.exportAccount, { account: "me" }, metadata, ({ record }) => record.case);
    },
    watch: (wanted, milliseconds) => stream(Health.method.watch, {}, deadline(milliseconds), ({ status }) => status, wanted),
  };
}

/** What grpc-web has to know of a method. */
function descriptor<M extends DescMethod>(method: M): MethodDescriptor<MessageShape<M["input"]>, MessageShape<M["output"]>> {
  return new MethodDescriptor(
    `/${method.parent.typeName}/${method.name}`,
    method.methodKind === "unary" ? MethodType.UNARY : MethodType.SERVER_STREAMING,
    // Their constructors: messages of protobuf-es have none, and nobody asks for them.
    Object as never,
    Object as never,
    (message: MessageShape<M["input"]>) => toBinary(method.input, message),
    (bytes: Uint8Array) => fromBinary(method.output, bytes),
  );
}

/** From its metadata `deadline`, an absolute time, grpc-web makes `grpc-timeout`. */
function deadline(milliseconds?: number): Metadata {
  return milliseconds === undefined ? {} : { deadline: String(Date.now() + milliseconds) };
}

/** `INVALID_ARGUMENT` as connect's code has it; gRPC's own name has one L more. */
function nameOf(code: StatusCode): string {
  const [name = "none"] = Object.entries(StatusCode).find(([, number]) => number === code) ?? [];
  return name.toLowerCase().replace("cancelled", "canceled");
}

/** What `grpc-status-details-bin` tells. */
function failure(error: RpcError): Outcome {
  const code = nameOf(error.code);
  const encoded = error.metadata["grpc-status-details-bin"];
  if (encoded === undefined) {
    return { code };
  }
  const outcome: Outcome = { code };
  for (const detail of fromBinary(StatusSchema, base64Decode(encoded)).details) {
    outcome.reason ??= anyUnpack(detail, ErrorInfoSchema)?.reason;
    outcome.violations ??= anyUnpack(detail, BadRequestSchema)?.fieldViolations.map(({ field, reason }) => ({ field, reason }));
  }
  return outcome;
}
