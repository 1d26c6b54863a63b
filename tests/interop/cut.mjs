// What a buyer pays whose connection is cut when the money has moved and the answer has not come, and who
// then does the same again, by itself or when it is asked to: once, where the payment is kept and presented
// again; twice, where another one is signed.
//
//   node cut.mjs           exits 1 if somebody pays another number of times
//
// It reads the environment that matrix.mjs reads.

import * as ours from "./lib/ours.mjs";
import * as peers from "./lib/peers.mjs";
import { Chain, PAY_TO } from "./lib/chain.mjs";
import { cutter } from "./lib/cutter.mjs";

const PRICE = 10_000;
// README says so of theirs.
const times = (buyer) => (buyer.isOurs ? 1 : 2);

const chain = await Chain.start();
const seller = await ours.SELLERS.find((seller) => seller.isLocal).start(null, chain);

/** How many times a buyer has paid when it is served. */
const paid = async (buyer) => {
  const before = await chain.balance(PAY_TO);
  const way = await cutter(seller.url);
  const pay = () => buyer.pay(way.url);
  const { status, body } = await pay().catch(pay);
  way.stop();
  if (way.cuts() !== 1) throw new Error("not cut");
  if (status !== 200 || body !== "the goods") throw new Error(`answer ${status}: ${body}`);
  return ((await chain.balance(PAY_TO)) - before) / PRICE;
};

let failed = 0;
for (const buyer of [...ours.BUYERS, ...peers.BUYERS]) {
  const result = await paid(buyer).catch((error) => error.message);
  const isRight = result === times(buyer);
  failed += isRight ? 0 : 1;
  console.log(`cut, and again: ${buyer.name} has paid ${result} x${isRight ? "" : " (FAILED)"}`);
}
await seller.stop();
process.exit(failed === 0 ? 0 : 1);
