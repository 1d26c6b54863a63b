// Our buyer, seller and facilitator: the program x402.

import { chmodSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, run, start } from "./process.mjs";
import { BUYER_KEY, PAY_TO, SETTLER_KEY } from "./chain.mjs";

const program = process.env.X402;
if (!program) throw new Error("X402 does not name the program");

const folder = mkdtempSync(join(tmpdir(), "x402-interop-"));
const write = (name, text) => {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, 0o600);
  return path;
};
const buyerKey = write("buyer.key", BUYER_KEY);
const settlerKey = write("settler.key", SETTLER_KEY);

const buyer = (dialect) => ({
  name: `x402 pay (${dialect})`,
  versions: [dialect],
  methods: dialect === "v2" ? ["eip3009", "permit2", "upto"] : ["eip3009"],
  isOurs: true,
  pay: async (url) => {
    const args = ["pay", url, "--max", "0.05", "--key-file", buyerKey, "--json"];
    const { code, stdout, stderr } = await run(program, [...args, "--dialect", dialect, "--permit2"]);
    if (code !== 0) throw new Error(`x402 pay ended with ${code}: ${stdout} ${stderr}`);
    const { status, body, payment } = JSON.parse(stdout);
    if (payment.status !== "settled") throw new Error(`unproven: ${stdout}`);
    return { status, body };
  },
});

export const BUYERS = [buyer("v2"), buyer("v1"), buyer("headers")];

let files = 0;

/** What is sold is behind it, and speaks plain HTTP. It says how many tokens it used. */
const upstream = async () => {
  const server = createServer((request, response) => {
    response.setHeader("X-Input-Tokens", "0").setHeader("X-Output-Tokens", "1").end("the goods");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.unref();
  return server.address().port;
};

const BY_REQUEST = '{model: "per_request", amount: "0.01", currency: "USDC"}';
/** A ceiling of two tokens is signed, and one is used. */
const BY_TOKEN = `{model: "per_token", input_price: "0", output_price: "0.01", currency: "USDC",
      max_output_tokens: 2, usage: {input_header: X-Input-Tokens, output_header: X-Output-Tokens}, upto: only}
    settle: after`;

const seller = (name, facilitator, method = "eip3009") => ({
  name,
  method,
  isOurs: true,
  isLocal: facilitator === null,
  start: async (url, chain) => {
    const [port, behind] = [await freePort(), await upstream()];
    files += 1;
    const text = `
listen: 127.0.0.1:${port}
upstream: http://127.0.0.1:${behind}
pay_to: "${PAY_TO}"
network: base-sepolia
asset: USDC
${facilitator === null ? "" : facilitator(url)}
chain: {rpc: "${chain.url}", key_file: ${settlerKey}}
ledger: ${join(folder, `seller-${files}.redb`)}
routes:
  - path: /paid
    methods: [GET]
    pricing: ${method === "upto" ? BY_TOKEN : BY_REQUEST}
    discoverable: true
`;
    const config = write(`seller-${files}.yaml`, text);
    const process = await start(program, ["serve", "--config", config], { ready: "listening on" });
    return { url: `http://127.0.0.1:${port}/paid`, ...process };
  },
});

export const SELLERS = [
  seller("x402 serve (facilitator: local)", null),
  seller("x402 serve, by the token (upto)", null, "upto"),
  seller("x402 serve (facilitator: URL)", (url) => `facilitator: ${url}`),
  seller("x402 serve (confirm: chain)", (url) => `facilitator: {url: "${url}", confirm: chain}`),
];

export const FACILITATORS = [
  {
    name: "x402 facilitator",
    versions: ["v1", "v2"],
    isOurs: true,
    start: async (chain) => {
      const port = await freePort();
      files += 1;
      const text = `
listen: 127.0.0.1:${port}
ledger: ${join(folder, `facilitator-${files}.redb`)}
chains:
  - network: base-sepolia
    rpc: ${chain.url}
    key_file: ${settlerKey}
    assets: [USDC]
    kinds: [exact, permit2, upto]
`;
      const config = write(`facilitator-${files}.yaml`, text);
      const args = ["facilitator", "--config", config];
      const process = await start(program, args, { ready: "listening on" });
      return { url: `http://127.0.0.1:${port}`, ...process };
    },
  },
];
