// A seller of v1: express, with x402-express before it. What v1 needs is under ../v1.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../v1/package.json", import.meta.url));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { default: express } = await load("express");
const { paymentMiddleware } = await load("x402-express");

const { PORT, FACILITATOR_URL, PAY_TO } = process.env;
const routes = { "GET /paid": { price: "$0.01", network: "base-sepolia" } };
const app = express();
app.use(paymentMiddleware(PAY_TO, routes, { url: FACILITATOR_URL }));
app.get("/paid", (request, response) => response.type("text").send("the goods"));
app.listen(Number(PORT), "127.0.0.1", () => console.log(JSON.stringify({ listening: PORT })));
