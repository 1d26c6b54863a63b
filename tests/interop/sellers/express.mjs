// A seller of v2: express, with @x402/express before it.

import express from "express";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/express";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";

const { PORT, FACILITATOR_URL, NETWORK, PAY_TO, ASSET, AMOUNT, METHOD } = process.env;
const facilitator = new HTTPFacilitatorClient({ url: FACILITATOR_URL });
const server = new x402ResourceServer(facilitator)
  .register(NETWORK, new ExactEvmScheme())
  .register(NETWORK, new UptoEvmScheme());
const domain = { name: "USDC", version: "2" };
const extra = METHOD === "permit2" ? { ...domain, assetTransferMethod: "permit2" } : domain;
// Of a ceiling, half is taken.
const isUpto = METHOD === "upto";
const amount = isUpto ? `${2 * Number(AMOUNT)}` : AMOUNT;
const price = { asset: ASSET, amount, extra };
const accepts = { scheme: isUpto ? "upto" : "exact", network: NETWORK, payTo: PAY_TO, price };
const app = express();
app.use(paymentMiddleware({ "GET /paid": { accepts, description: "the goods" } }, server));
app.get("/paid", (request, response) => {
  if (isUpto) setSettlementOverrides(response, { amount: AMOUNT });
  response.type("text").send("the goods");
});
app.listen(Number(PORT), "127.0.0.1", () => console.log(JSON.stringify({ listening: PORT })));
