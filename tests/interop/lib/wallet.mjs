// Signs what a 402 asks for, in each dialect: EIP-3009, in the domain of USDC on Ethereum.

import { randomBytes } from "node:crypto";
import { privateKeyToAccount } from "viem/accounts";

const TYPES = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64");
const decode = (text) => JSON.parse(Buffer.from(text, "base64").toString());

export class Wallet {
  constructor(key, asset) {
    this.account = privateKeyToAccount(key);
    this.domain = { name: "USD Coin", version: "2", chainId: 1, verifyingContract: asset };
  }

  async #sign(to, value) {
    const authorization = {
      from: this.account.address,
      to,
      value: `${value}`,
      validAfter: "0",
      validBefore: `${Math.floor(Date.now() / 1000) + 60}`,
      nonce: `0x${randomBytes(32).toString("hex")}`,
    };
    const { domain } = this;
    const typed = { domain, types: TYPES, primaryType: "TransferWithAuthorization", message: authorization };
    return { authorization, signature: await this.account.signTypedData(typed) };
  }

  /** The header fields that pay: with a key, by which the answer can be had again. */
  async pay({ dialect, terms }) {
    const key = { "idempotency-key": randomBytes(16).toString("hex") };
    if (dialect === "headers") {
      const amount = terms["x-payment-amount"];
      const [to, units] = [terms["x-payment-recipient"], Math.round(Number(amount) * 1e6)];
      const { authorization, signature } = await this.#sign(to, units);
      return {
        ...key,
        "x-payment-signature": signature,
        "x-payment-amount": amount,
        "x-payment-asset": terms["x-payment-asset"],
        "x-payment-nonce": authorization.nonce,
        "x-payment-from": authorization.from,
        "x-payment-valid-before": authorization.validBefore,
      };
    }
    if (dialect === "v1") {
      const [{ payTo, maxAmountRequired, scheme, network }] = terms.accepts;
      const payload = await this.#sign(payTo, maxAmountRequired);
      return { ...key, "x-payment": encode({ x402Version: 1, scheme, network, payload }) };
    }
    const [accepted] = decode(terms).accepts;
    const payload = await this.#sign(accepted.payTo, accepted.amount);
    return { ...key, "payment-signature": encode({ x402Version: 2, accepted, payload }) };
  }
}
