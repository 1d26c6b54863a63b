// From the header of v2 to the verdict, offline, with viem as the official SDK uses it. Prints the
// nanoseconds of one, the least of many.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tests/interop/package.json", import.meta.url));
const { getAddress, verifyTypedData } = require("viem");

const file = new URL("../../tests/vectors/sdk.json", import.meta.url);
const vector = JSON.parse(readFileSync(file)).vectors.find(({ id }) => id === "v2-01");
const header = vector.outputs.header.value;
const offered = vector.inputs.paymentRequired.accepts[0];
const types = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
};

async function verdict() {
  const { accepted, payload } = JSON.parse(Buffer.from(header, "base64").toString("utf8"));
  const { authorization, signature } = payload;
  const isOffered =
    accepted.scheme === offered.scheme &&
    accepted.network === offered.network &&
    accepted.amount === offered.amount &&
    getAddress(accepted.asset) === getAddress(offered.asset) &&
    getAddress(authorization.to) === getAddress(offered.payTo) &&
    BigInt(authorization.value) >= BigInt(offered.amount);
  const isSigned = await verifyTypedData({
    address: authorization.from,
    types,
    primaryType: "TransferWithAuthorization",
    domain: { ...accepted.extra, chainId: 84532, verifyingContract: getAddress(accepted.asset) },
    message: {
      from: getAddress(authorization.from),
      to: getAddress(authorization.to),
      value: BigInt(authorization.value),
      validAfter: BigInt(authorization.validAfter),
      validBefore: BigInt(authorization.validBefore),
      nonce: authorization.nonce,
    },
    signature,
  });
  if (!isOffered || !isSigned) throw new Error("the payment is good");
}

let least = Infinity;
for (let round = 0; round < 400; round++) {
  const start = process.hrtime.bigint();
  await verdict();
  least = Math.min(least, Number(process.hrtime.bigint() - start));
}
console.log(JSON.stringify({ viem: least }));
