#!/usr/bin/env bash
# @x402/fetch 2.27.0 and @x402/axios 2.11.0: a call whose connection is cut after the payment was sent fails, and the same
# call again signs another authorization, with a nonce of its own, although the first may have been settled. Neither
# call carries an Idempotency-Key, nor a payment-identifier, nor anything else by which a seller could tell that the
# second is the first again.
#
# Who it touches: buyers pay twice for one answer after a cut that comes between the settlement and the answer;
# sellers who settle first cannot tell it from two purchases.
#
# Seen on 2026-11-30 with them, @x402/evm 2.27.0, viem 2.57.20, axios 1.21.1, node 20.20.2. Fails if it is
# otherwise.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init -y > /dev/null
npm install --silent --no-audit --no-fund @x402/fetch@2.27.0 @x402/axios@2.11.0 @x402/evm@2.27.0 viem@2.57.20 axios@1.21.1 > /dev/null
cat > see.mjs << 'JS'
import { createServer } from "node:http";
import axios from "axios";
import { wrapFetchWithPayment, x402Client } from "@x402/fetch";
import { wrapAxiosWithPaymentFromConfig } from "@x402/axios";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { privateKeyToAccount } from "viem/accounts";

// The second account of the mnemonic that development nodes use.
const account = privateKeyToAccount("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d");
const network = "eip155:84532";
const seen = [];
let cuts = 0;
const server = createServer((request, response) => {
  const signature = request.headers["payment-signature"];
  if (!signature) {
    const required = {
      x402Version: 2,
      error: "a payment is required",
      resource: { url: `http://${request.headers.host}/`, description: "", mimeType: "text/plain" },
      accepts: [{
        scheme: "exact", network, amount: "10000", asset: "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
        payTo: "0x209693Bc6afc0C5328bA36FaF03C514EF312287C", maxTimeoutSeconds: 60,
        extra: { name: "USDC", version: "2" },
      }],
    };
    const value = Buffer.from(JSON.stringify(required)).toString("base64");
    return response.writeHead(402, { "PAYMENT-REQUIRED": value }).end();
  }
  const payment = JSON.parse(Buffer.from(signature, "base64"));
  const keys = Object.keys(request.headers).filter((name) => /idempotency|request-id|payment-id/.test(name));
  seen.push({ nonce: payment.payload.authorization.nonce, keys, extensions: payment.extensions ?? null });
  if (cuts++ % 2 === 0) return request.socket.destroy();
  response.end("the goods");
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}/`;
const client = () => new x402Client().register(network, new ExactEvmScheme(account));
const schemes = [{ network, client: new ExactEvmScheme(account) }];
const api = () => wrapAxiosWithPaymentFromConfig(axios.create({ responseType: "text" }), { schemes });
const callers = {
  "@x402/fetch": async () => (await wrapFetchWithPayment(fetch, client())(url)).text(),
  "@x402/axios": async () => (await api().get(url)).data,
};
for (const [name, call] of Object.entries(callers)) {
  seen.length = 0;
  const first = await call().then(() => "an answer", (error) => `an error (${error.message})`);
  const second = await call();
  const [one, two] = seen;
  const isAnew = seen.length === 2 && one.nonce !== two.nonce;
  const isBare = seen.every(({ keys, extensions }) => keys.length === 0 && !extensions?.["payment-identifier"]);
  console.log(`${name}: cut: ${first}; again: "${second}", ${isAnew ? "another" : "the same"} nonce, ` +
    `${isBare ? "no" : "a"} key`);
  if (!first.startsWith("an error") || second !== "the goods" || !isAnew || !isBare) process.exitCode = 1;
}
server.close();
JS
node see.mjs
echo "as described: each call signs for itself"
