// A seller of v2: express, with @x402/express before it.

import express from "express";
import { paymentMiddleware, x402ResourceServer } from "@x402/express";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";

const { PORT, FACILITATOR_URL, NETWORK, PAY_TO, ASSET, AMOUNT } = process.env;
const facilitator = new HTTPFacilitatorClient({ url: FACILITATOR_URL });
const server = new x402ResourceServer(facilitator).register(NETWORK, new ExactEvmScheme());
const price = { asset: ASSET, amount: AMOUNT, extra: { name: "USDC", version: "2" } };
const accepts = { scheme: "exact", network: NETWORK, payTo: PAY_TO, price };
const app = express();
app.use(paymentMiddleware({ "GET /paid": { accepts, description: "the goods" } }, server));
app.get("/paid", (request, response) => response.type("text").send("the goods"));
app.listen(Number(PORT), "127.0.0.1", () => console.log(JSON.stringify({ listening: PORT })));
