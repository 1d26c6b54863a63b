// Other people's buyers, sellers and facilitators, as processes with one calling convention.

import { join, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, run, start } from "./process.mjs";
import { BUYER_KEY, NETWORK, PAY_TO, SETTLER_KEY, USDC } from "./chain.mjs";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const python = process.env.INTEROP_PYTHON ?? "python3";
const rust = process.env.INTEROP_RUST;
if (!rust) throw new Error("INTEROP_RUST does not name the folder of the built tests/interop/rust");

const argumentsOf = (script) => (script ? [join(here, script)] : []);

/** A buyer that is a script, or a program: it pays once and prints {status, body}. */
const buyer = (name, versions, command, script, methods = ["eip3009"]) => ({
  name,
  versions,
  methods,
  pay: async (url) => {
    const env = { URL: url, PRIVATE_KEY: BUYER_KEY, NETWORK };
    const { code, stdout, stderr } = await run(command, argumentsOf(script), { env });
    const line = stdout.trim().split("\n").pop() ?? "";
    if (code !== 0 || !line.startsWith("{")) {
      throw new Error(`${name} ended with ${code}: ${stdout.slice(-400)} ${stderr.slice(-800)}`);
    }
    return JSON.parse(line);
  },
});

/** A seller that is a script, or a program: it sells /paid for 0.01 USDC, through a facilitator. */
const seller = (name, version, command, script, method = "eip3009") => ({
  name,
  version,
  method,
  start: async (facilitator) => {
    const port = await freePort();
    const env = {
      METHOD: method,
      VERSION: version,
      PORT: `${port}`,
      FACILITATOR_URL: facilitator,
      NETWORK,
      PAY_TO,
      ASSET: USDC,
      AMOUNT: "10000",
    };
    const process = await start(command, argumentsOf(script), { env, ready: '"listening"' });
    return { url: `http://127.0.0.1:${port}/paid`, ...process };
  },
});

export const BUYERS = [
  buyer("@x402/fetch", ["v2"], "node", "buyers/fetch.mjs", ["eip3009", "permit2", "upto"]),
  buyer("@x402/axios", ["v2"], "node", "buyers/axios.mjs"),
  buyer("x402-fetch", ["v1"], "node", "buyers/fetch-v1.mjs"),
  buyer("x402 (Python, httpx)", ["v2"], python, "buyers/httpx_buyer.py"),
  buyer("x402-reqwest (Rust)", ["v1", "v2"], join(rust, "buyer"), null, ["eip3009", "permit2", "upto"]),
];

export const SELLERS = [
  seller("@x402/express", "v2", "node", "sellers/express.mjs"),
  seller("@x402/express, permit2", "v2", "node", "sellers/express.mjs", "permit2"),
  seller("@x402/express, upto", "v2", "node", "sellers/express.mjs", "upto"),
  seller("x402-express", "v1", "node", "sellers/express-v1.mjs"),
  seller("x402 (Python, FastAPI)", "v2", python, "sellers/fastapi_seller.py"),
  seller("x402-axum (Rust), v1", "v1", join(rust, "seller"), null),
  seller("x402-axum (Rust), v2", "v2", join(rust, "seller"), null),
];

export const FACILITATORS = [
  {
    name: "@x402/core + @x402/evm",
    versions: ["v1", "v2"],
    start: async (chain) => {
      const port = await freePort();
      const env = { PORT: `${port}`, RPC_URL: chain.url, PRIVATE_KEY: SETTLER_KEY, NETWORK };
      const script = join(here, "facilitators", "core.mjs");
      const process = await start("node", [script], { env, ready: '"listening"' });
      return { url: `http://127.0.0.1:${port}`, ...process };
    },
  },
];
