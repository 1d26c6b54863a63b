// A buyer of v2: fetch, wrapped by @x402/fetch.

import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { UptoEvmScheme } from "@x402/evm/upto/client";
import { privateKeyToAccount } from "viem/accounts";

const account = privateKeyToAccount(process.env.PRIVATE_KEY);
const client = new x402Client()
  .register(process.env.NETWORK, new ExactEvmScheme(account))
  .register(process.env.NETWORK, new UptoEvmScheme(account));
const pay = wrapFetchWithPayment(fetch, client);
const answer = await pay(process.env.URL);
console.log(JSON.stringify({ status: answer.status, body: await answer.text() }));
