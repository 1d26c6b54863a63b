// Pages of other origins buy in Chromium, by every dialect, and read what they have paid for; a page whose origin
// the seller has not listed reads nothing, and pays nothing. On the development chain.
//
//   node browser.mjs           exits 1 if a page sees anything else
//
// It reads X402 (the program) and CHROMIUM (its command; chromium) from the environment.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, start } from "./lib/process.mjs";
import { BUYER_KEY, PAY_TO, SETTLER_KEY } from "./lib/chain.mjs";
import { Wallet } from "./lib/wallet.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const program = process.env.X402;
if (!program) throw new Error("X402 does not name the program");
const chromium = process.env.CHROMIUM ?? "chromium";
const folder = mkdtempSync(join(tmpdir(), "x402-browser-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));

const USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
const PRICE = 10_000;
const PIECES = ["data: one\n\n", "data: two\n\n", "data: three\n\n"];

const listen = async (server) => {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return server.address().port;
};

const body = async (request) => {
  let text = "";
  for await (const piece of request) text += piece;
  return text;
};

// --- What is sold ---------------------------------------------------------------------------------

const served = [];
/** Called when the page has had a piece of the stream. */
let came = () => {};

const behind = createServer(async (request, response) => {
  served.push(`${request.method} ${request.url}`);
  // What it says of CORS is of its own network, and wrong here.
  response.setHeader("Access-Control-Allow-Origin", "http://intranet.example");
  response.setHeader("X-Request-Id", "one");
  if (request.url === "/wants-money") return response.writeHead(402).end("more");
  if (request.url === "/user") return response.end(`the goods of ${request.headers.cookie}`);
  if (request.url !== "/stream") return response.end(`the goods for ${await body(request)}`);
  response.setHeader("Content-Type", "text/event-stream");
  for (const piece of PIECES) {
    response.write(piece);
    // The next is not sent before the page has this one.
    await new Promise((resolve) => (came = resolve));
  }
  return response.end();
});

const chainPort = await freePort();
const chain = await start(program, ["devnet", "--port", `${chainPort}`], { ready: "stop with" });
const rpc = `http://127.0.0.1:${chainPort}`;

const balance = async () => {
  const call = { to: USDC, data: `0x70a08231${PAY_TO.slice(2).toLowerCase().padStart(64, "0")}` };
  const request = { jsonrpc: "2.0", id: 1, method: "eth_call", params: [call, "latest"] };
  const headers = { "content-type": "application/json" };
  const answer = await fetch(rpc, { method: "POST", headers, body: JSON.stringify(request) });
  return Number(BigInt((await answer.json()).result));
};

const behindPort = await listen(behind);
const key = join(folder, "settler.key");
writeFileSync(key, SETTLER_KEY);
chmodSync(key, 0o600);

let shops = 0;
const shop = async (cors) => {
  const port = await freePort();
  const config = join(folder, `shop-${(shops += 1)}.yaml`);
  writeFileSync(config, `
listen: 127.0.0.1:${port}
upstream: http://127.0.0.1:${behindPort}
pay_to: "${PAY_TO}"
network: ethereum
asset: USDC
chain: {rpc: "${rpc}", key_file: ${key}}
ledger: memory
${cors}
routes:
  - path: /*
    pricing: {model: per_request, amount: "0.01", currency: USDC}
`);
  const running = await start(program, ["serve", "--config", config], { ready: "listening on" });
  return { url: `http://127.0.0.1:${port}`, ...running };
};

// --- The pages, and the browser -------------------------------------------------------------------

const wallet = new Wallet(BUYER_KEY, USDC);
/** What a page that may not read the terms of a shop is told of them by somebody else. */
let told = null;
/** Called with what came of a page's task. */
let ended = () => {};

const pages = () =>
  createServer(async (request, response) => {
    const json = (value) => response.end(JSON.stringify(value));
    switch (request.url.split("?")[0]) {
      case "/":
        response.setHeader("Content-Type", "text/html").setHeader("Set-Cookie", "user=alice");
        return response.end('<!doctype html><script type="module" src="/page.js"></script>');
      case "/page.js":
        response.setHeader("Content-Type", "text/javascript");
        return response.end(readFileSync(join(here, "browser", "page.js")));
      case "/sign":
        return json(await wallet.pay(JSON.parse(await body(request))));
      case "/terms":
        return json({ terms: told });
      case "/came":
        came();
        return json({});
      case "/result":
        ended(JSON.parse(await body(request)));
        return json({});
      default:
        return response.writeHead(404).end();
    }
  });

const origins = [];
for (let count = 0; count < 2; count += 1) origins.push(`http://127.0.0.1:${await listen(pages())}`);
const [ours, strange] = origins;

let profiles = 0;
const visit = async (origin, at, task) => {
  const profile = join(folder, `profile-${(profiles += 1)}`);
  const flags = ["--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
  // Root has no sandbox.
  if (process.getuid() === 0) flags.push("--no-sandbox");
  flags.push("--disable-dev-shm-usage", `--user-data-dir=${profile}`, "--remote-debugging-port=0");
  const result = new Promise((resolve) => (ended = resolve));
  const url = `${origin}/?shop=${encodeURIComponent(at)}&task=${task}`;
  const browser = await start(chromium, [...flags, url], { ready: "DevTools listening" });
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${task}: no result\n${browser.output()}`)), 30_000);
  });
  const seen = await Promise.race([result, late]).finally(() => clearTimeout(timer));
  await browser.stop();
  return seen;
};

const check = async (name, payments, sees) => {
  const [before, count] = [await balance(), served.length];
  await sees();
  assert.equal((await balance()) - before, payments * PRICE, "what has arrived");
  assert.ok(!served.slice(count).some((line) => line.startsWith("OPTIONS")), "preflights get through");
  console.log(`in Chromium: ${name}`);
};

const open = await shop("");
const named = await shop(`cors: {origins: ["${ours}"], credentials: true, expose: [X-Request-Id]}`);

await check("a page buys by each dialect, and reads what it has bought", 6, async () => {
  const goods = { status: 200, outcome: true, extra: null, body: 'the goods for {"prompt":"hello"}' };
  const seen = await visit(ours, open.url, "buy");
  assert.deepEqual(Object.keys(seen), ["v2", "v1", "headers"], JSON.stringify(seen));
  for (const { first, again, refused } of Object.values(seen)) {
    assert.deepEqual([first, again], [goods, goods]);
    assert.equal(refused.status, 502);
    assert.match(refused.body, /upstream_payment_required/);
  }
});

await check("a page reads a stream that it pays for, piece by piece", 1, async () => {
  assert.deepEqual(await visit(ours, open.url, "stream"), { status: 200, pieces: PIECES });
});

await check("a page of an origin that is listed buys as its user", 1, async () => {
  const goods = { status: 200, outcome: true, extra: "one", body: "the goods of user=alice" };
  assert.deepEqual(await visit(ours, named.url, "user"), goods);
});

await check("a page of an origin that is not listed reads nothing, and cannot pay", 0, async () => {
  told = (await fetch(`${named.url}/user`)).headers.get("payment-required");
  const seen = await visit(strange, named.url, "stranger");
  assert.deepEqual(seen, { price: "TypeError", paid: "TypeError" });
});

await Promise.all([open.stop(), named.stop(), chain.stop()]);
process.exit(0);
