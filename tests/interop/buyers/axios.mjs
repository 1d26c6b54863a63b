// A buyer of v2: axios, wrapped by @x402/axios.

import axios from "axios";
import { wrapAxiosWithPaymentFromConfig } from "@x402/axios";
import { ExactEvmScheme } from "@x402/evm/exact/client";
import { privateKeyToAccount } from "viem/accounts";

const account = privateKeyToAccount(process.env.PRIVATE_KEY);
const schemes = [{ network: process.env.NETWORK, client: new ExactEvmScheme(account) }];
const api = wrapAxiosWithPaymentFromConfig(axios.create({ responseType: "text" }), { schemes });
const answer = await api.get(process.env.URL);
console.log(JSON.stringify({ status: answer.status, body: answer.data }));
