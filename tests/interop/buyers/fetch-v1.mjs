// A buyer of v1: fetch, wrapped by x402-fetch. What v1 needs is installed apart, under ../v1.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../v1/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { wrapFetchWithPayment } = await load("x402-fetch");
const { createWalletClient, http } = await load("viem");
const { privateKeyToAccount } = await load("viem/accounts");
const { baseSepolia } = await load("viem/chains");

const account = privateKeyToAccount(process.env.PRIVATE_KEY);
const wallet = createWalletClient({ account, chain: baseSepolia, transport: http("http://127.0.0.1:1") });
const pay = wrapFetchWithPayment(fetch, wallet);
const answer = await pay(process.env.URL);
console.log(JSON.stringify({ status: answer.status, body: await answer.text() }));
