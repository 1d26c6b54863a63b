// A facilitator of v1 and v2: @x402/core and @x402/evm, behind a small HTTP server. It asks for receipts
// every $POLL milliseconds (as often as viem does where that is empty), and has viem's nonce manager with
// $NONCES, without which most settlements fail where several are asked for at once.

import { createServer } from "node:http";
import { x402Facilitator } from "@x402/core/facilitator";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { ExactEvmSchemeV1 } from "@x402/evm/exact/v1/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import { createWalletClient, http, publicActions } from "viem";
import { nonceManager, privateKeyToAccount } from "viem/accounts";
import { baseSepolia } from "viem/chains";

const { PORT, RPC_URL, PRIVATE_KEY, NETWORK, POLL = "50", NONCES } = process.env;
const account = privateKeyToAccount(PRIVATE_KEY, NONCES ? { nonceManager } : {});
const transport = http(RPC_URL);
const pollingInterval = POLL ? Number(POLL) : undefined;
const wallet = createWalletClient({ account, chain: baseSepolia, transport, pollingInterval });
const client = wallet.extend(publicActions);
const signer = toFacilitatorEvmSigner(Object.assign(client, { address: account.address }));
const facilitator = new x402Facilitator()
  .register(NETWORK, new ExactEvmScheme(signer))
  .register(NETWORK, new UptoEvmScheme(signer))
  .registerV1("base-sepolia", new ExactEvmSchemeV1(signer));

const answer = async (path, body) => {
  if (path === "/supported") return facilitator.getSupported();
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
}).listen(Number(PORT), "127.0.0.1", () => console.log(JSON.stringify({ listening: PORT })));
