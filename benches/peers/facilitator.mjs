// A facilitator of the official TypeScript SDK, as its example has it, with viem's nonce manager:
// without that most settlements fail where several are asked for at once.

import { createServer } from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tests/interop/package.json", import.meta.url));
const { x402Facilitator } = require("@x402/core/facilitator");
const { toFacilitatorEvmSigner } = require("@x402/evm");
const { ExactEvmScheme } = require("@x402/evm/exact/facilitator");
const { createWalletClient, http, publicActions } = require("viem");
const { nonceManager, privateKeyToAccount } = require("viem/accounts");
const { baseSepolia } = require("viem/chains");

const { PORT, RPC_URL, PRIVATE_KEY, NETWORK, POLL } = process.env;
const account = privateKeyToAccount(PRIVATE_KEY, { nonceManager });
const pollingInterval = POLL ? Number(POLL) : undefined;
const options = { account, chain: baseSepolia, transport: http(RPC_URL), pollingInterval };
const client = createWalletClient(options).extend(publicActions);
const signer = toFacilitatorEvmSigner(Object.assign(client, { address: account.address }));
const facilitator = new x402Facilitator().register(NETWORK, new ExactEvmScheme(signer));

const answer = async (path, body) => {
  const { paymentPayload, paymentRequirements } = JSON.parse(body);
  if (path === "/verify") return facilitator.verify(paymentPayload, paymentRequirements);
  if (path === "/settle") return facilitator.settle(paymentPayload, paymentRequirements);
  throw new Error("no such path");
};

createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  response.setHeader("content-type", "application/json");
  try {
    const value = await answer(request.url, body);
    const bigint = (key, value) => (typeof value === "bigint" ? value.toString() : value);
    response.end(JSON.stringify(value, bigint));
  } catch (error) {
    response.statusCode = 500;
    response.end(JSON.stringify({ error: error.message }));
  }
}).listen(Number(PORT), "127.0.0.1");
