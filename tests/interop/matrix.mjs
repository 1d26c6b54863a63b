// Every buyer with every seller through every facilitator, in every cell in which one of the three
// is ours: one real payment each, on a real node, with the balance checked. Permit2 and the proxies of
// x402 are contracts of tests/contracts that stand in for them, at their addresses.
//
//   node matrix.mjs           prints the table; exits 1 if a cell fails, or README's table is another
//   node matrix.mjs --readme  also writes the table into README
//
// It reads X402 (the program), INTEROP_PYTHON (an interpreter with requirements.txt) and INTEROP_RUST
// (the folder of the programs of tests/interop/rust) from the environment.

import * as ours from "./lib/ours.mjs";
import * as peers from "./lib/peers.mjs";
import { Chain, PAY_TO } from "./lib/chain.mjs";
import * as readme from "./lib/readme.mjs";

const PRICE = 10_000;

/** Why a buyer and a seller have nothing to say to each other; no reason where they have. */
const mute = (buyer, seller) => {
  if (!buyer.methods.includes(seller.method)) return `no ${seller.method}`;
  if (seller.isOurs || buyer.versions.includes(seller.version)) return null;
  return `the seller speaks ${seller.version} only`;
};

const cell = async (chain, buyer, url) => {
  const before = await chain.balance(PAY_TO);
  const { status, body } = await buyer.pay(url);
  const paid = (await chain.balance(PAY_TO)) - before;
  if (status !== 200 || body !== "the goods") throw new Error(`answer ${status}: ${body}`);
  if (paid !== PRICE) throw new Error(`${paid} units arrived, not ${PRICE}`);
};

const rows = [];

/** All buyers before one seller that is running; cells without us are not ours to show. */
const serve = async (chain, seller, facilitator, buyers, running) => {
  for (const buyer of buyers) {
    if (!buyer.isOurs && !seller.isOurs && !facilitator.isOurs) continue;
    const row = { buyer: buyer.name, seller: seller.name, facilitator: facilitator.name };
    const reason = mute(buyer, seller);
    if (reason) {
      rows.push({ ...row, result: `- (${reason})` });
      continue;
    }
    try {
      await cell(chain, buyer, running.url);
      rows.push({ ...row, result: "paid" });
    } catch (error) {
      rows.push({ ...row, result: "FAILED" });
      console.error(`${row.buyer} | ${row.seller} | ${row.facilitator}: ${error.message}`);
      console.error(running.output().slice(-3000));
    }
  }
};

const chain = await Chain.start();
const buyers = [...ours.BUYERS, ...peers.BUYERS];
const sellers = [...ours.SELLERS, ...peers.SELLERS];
for (const facilitator of [...ours.FACILITATORS, ...peers.FACILITATORS]) {
  const settling = await facilitator.start(chain);
  for (const seller of sellers.filter((seller) => !seller.isLocal)) {
    const running = await seller.start(settling.url, chain);
    await serve(chain, seller, facilitator, buyers, running);
    await running.stop();
  }
  await settling.stop();
}
for (const seller of sellers.filter((seller) => seller.isLocal)) {
  const running = await seller.start(null, chain);
  await serve(chain, seller, { name: "the seller itself", isOurs: true }, buyers, running);
  await running.stop();
}

const columns = ["buyer", "seller", "facilitator", "result"];
const wide = (column) => Math.max(...[...rows.map((row) => row[column]), column].map((t) => t.length));
const line = (row) => columns.map((column) => row[column].padEnd(wide(column))).join("  ").trimEnd();
console.log(line(Object.fromEntries(columns.map((column) => [column, column]))));
rows.forEach((row) => console.log(line(row)));
const count = (result) => rows.filter((row) => row.result === result).length;
console.log(`${count("paid")} cells paid, ${count("FAILED")} failed, ` +
  `${rows.length - count("paid") - count("FAILED")} without a common language`);
if (count("FAILED") > 0) process.exit(1);
if (process.argv.includes("--readme")) readme.write(rows);
process.exit(readme.isTrue(rows) ? 0 : 1);
