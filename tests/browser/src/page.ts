// What the page offers to the tests.
import { connect } from "./connect.js";
import { grpcWeb } from "./grpc-web.js";
import type { Calls } from "./outcome.js";

const api = "http://api.test";

const clients: Record<string, Calls> = {
  "connect-web": connect(api),
  "grpc-web-text": grpcWeb(api, "text"),
  "grpc-web": grpcWeb(api, "binary"),
};

declare global {
  interface Window {
    clients: typeof clients;
  }
}

window.clients = clients;
