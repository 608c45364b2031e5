// Opens pages in a Chromium and prints, as JSON, what they saw. Its input is JSON, too: `gateway` (host and port), `addresses` (of this machine,
// one for each page to come from), `chromium` (the program), `screenshots` (a folder), and `email`, `password` and `token` of somebody.
//
// To the browser the gateway is http://api.test; pages are at http://app.test, whose origin the gateway allows, and at http://stranger.test.
import { once } from "node:events";
import { createReadStream } from "node:fs";
import http from "node:http";
import net from "node:net";
import { json } from "node:stream/consumers";

import { chromium } from "playwright-core";

import { docs } from "./docs.mjs";

const CLIENTS = ["connect-web", "grpc-web-text", "grpc-web"];
/** Milliseconds for whatever is waited for on a page. */
const PATIENCE = 20_000;

const given = await json(process.stdin);
let address;
let preflights = 0;
const pages = await listen(http.createServer(site));
const gateway = await listen(net.createServer(relay));
const browser = await chromium.launch({
  executablePath: given.chromium,
  args: [`--host-resolver-rules=MAP api.test ${gateway}, MAP *.test ${pages}`],
});
const seen = { calls: {}, strange: {}, rest: await rest(), docs: {} };
for (const name of CLIENTS) {
  seen.calls[name] = await calls(name);
  seen.strange[name] = await strange(name);
}
const phone = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, colorScheme: "dark" };
for (const [name, options] of Object.entries({ desktop: { viewport: { width: 1280, height: 900 } }, phone })) {
  seen.docs[name] = await docs(await open("http://api.test/docs", options), given, name);
}
await browser.close();
// The relay has connections that nobody uses any more.
process.stdout.write(JSON.stringify({ ...seen, preflights }), () => process.exit());

/** A client of gRPC-Web on a page that may call. */
async function calls(name) {
  const page = await open("http://app.test/");
  const visit = async ({ name, token }) => {
    const client = window.clients[name];
    const signedIn = await client.profile(token, 10_000);
    const signedOut = await client.profile();
    const invalid = await client.register("nobody");
    const exported = await client.exported(token);
    const late = await client.watch(Infinity, 1_000);
    const cancelled = [];
    // In its binary format grpc-web reads a stream when it has ended. Of one address the gateway keeps 50 open.
    for (let turn = 0; name !== "grpc-web" && turn < 60; turn += 1) {
      cancelled.push(await client.watch(1, 20_000));
    }
    return { signedIn, signedOut, invalid, exported, late, cancelled };
  };
  return { ...(await page.evaluate(visit, { name, token: given.token })), console: page.lines };
}

/** The client on a page that may not call. */
async function strange(name) {
  const page = await open("http://stranger.test/");
  const visit = ({ name, token }) => window.clients[name].profile(token);
  return { ...(await page.evaluate(visit, { name, token: given.token })), console: page.lines };
}

/** REST, from a page that may call. */
async function rest() {
  const page = await open("http://app.test/");
  return page.evaluate(async (token) => {
    const response = await fetch("http://api.test/v1/users/me", {
      method: "PATCH",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: JSON.stringify({ bio: "Written in a browser." }),
    });
    return { status: response.status, ratelimit: response.headers.get("ratelimit"), body: await response.json() };
  }, given.token);
}

/** A page that shares nothing with another, and in `lines` what its console is told. */
async function open(url, options) {
  address = given.addresses.pop();
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.lines = [];
  page.on("console", (message) => page.lines.push(message.text()));
  page.on("pageerror", (error) => page.lines.push(String(error)));
  await page.goto(url);
  return page;
}

/** Any page, which is one script. */
function site(request, response) {
  if (request.url === "/page.js") {
    response.setHeader("content-type", "text/javascript");
    createReadStream(new URL("generated/page.js", import.meta.url)).pipe(response);
  } else {
    response.setHeader("content-type", "text/html");
    response.end('<!doctype html><link rel="icon" href="data:,"><script src="/page.js"></script>');
  }
}

/** Carries a connection to the gateway, which sees an address that has its limits for itself. A browser cannot choose its own. */
function relay(client) {
  const [host, port] = given.gateway.split(":");
  const server = net.connect({ host, port, localAddress: address });
  client.on("data", (bytes) => (preflights += Number(bytes.subarray(0, 8).toString() === "OPTIONS ")));
  client.pipe(server).pipe(client);
  for (const [one, other] of [[client, server], [server, client]]) {
    one.on("error", () => other.destroy()).on("close", () => other.destroy());
  }
}

/** Serves on a free port; host and port. */
async function listen(server) {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${server.address().port}`;
}
