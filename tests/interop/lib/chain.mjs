// A real node, anvil, that stands for Base Sepolia: chain id 84532, and the token of
// tests/contracts at the address that USDC has there.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, start } from "./process.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..", "..");

export const NETWORK = "eip155:84532";
export const USDC = "0x036CbD53842c5426634e7929541eC2318f3dCF7e";
/** The first of the node's accounts, unlocked: it owns the token. */
const OWNER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
/** The second: the buyer. */
export const BUYER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
export const BUYER_KEY = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/** The third: pays the gas. */
export const SETTLER_KEY = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";
const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
const EXACT_PROXY = "0x402085c248EeA27D92E8b30b2C58ed07f9E20001";
const UPTO_PROXY = "0x4020A4f3b7b90ccA423B9fabCc0CE57C6C240002";
export const PAY_TO = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C";

const word = (number) => number.toString(16).padStart(64, "0");
const address = (text) => text.slice(2).toLowerCase().padStart(64, "0");

/** ABI of (string, string, string, uint8), for texts of at most 31 bytes. */
const constructorOf = (name, symbol, version, decimals) =>
  [0x80, 0xc0, 0x100, decimals].map(word).join("") +
  [name, symbol, version]
    .map((text) => word(text.length) + Buffer.from(text).toString("hex").padEnd(64, "0"))
    .join("");

export class Chain {
  static async start() {
    const port = await freePort();
    const binary = join(here, "..", "node_modules", "@foundry-rs");
    const machine = process.arch === "arm64" ? "arm64" : "amd64";
    const program = join(binary, `anvil-${process.platform}-${machine}`, "bin", "anvil");
    const args = ["--host", "127.0.0.1", "--port", `${port}`, "--chain-id", "84532"];
    const node = await start(program, args, { ready: "Listening on" });
    const chain = new Chain(`http://127.0.0.1:${port}`, node);
    await chain.install();
    return chain;
  }

  constructor(url, node) {
    this.url = url;
    this.node = node;
  }

  async rpc(method, ...params) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
    const headers = { "content-type": "application/json" };
    const answer = await fetch(this.url, { method: "POST", headers, body });
    const { result, error } = await answer.json();
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  async send(transaction) {
    const hash = await this.rpc("eth_sendTransaction", transaction);
    for (let tries = 0; tries < 500; tries += 1) {
      const receipt = await this.rpc("eth_getTransactionReceipt", hash);
      if (receipt?.status === "0x1") return receipt;
      if (receipt) throw new Error(`${hash} failed`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error(`no receipt of ${hash}`);
  }

  /** Deploys the token, and moves its code and its few slots to where the token is known to be. */
  async install() {
    const file = join(root, "x402-std/src/devnet/bytecode/Token.creation.hex");
    const code = readFileSync(file, "utf8").trim().replace(/^0x/, "");
    const data = `0x${code}${constructorOf("USDC", "USDC", "2", 6)}`;
    const receipt = await this.send({ from: OWNER, data, gas: "0x989680" });
    const deployed = receipt.contractAddress;
    await this.rpc("anvil_setCode", USDC, await this.rpc("eth_getCode", deployed, "latest"));
    for (let slot = 0; slot < 16; slot += 1) {
      const value = await this.rpc("eth_getStorageAt", deployed, `0x${slot.toString(16)}`, "latest");
      await this.rpc("anvil_setStorageAt", USDC, `0x${word(slot)}`, value);
    }
    // mint(address,uint256): 1,000 USDC
    await this.send({ from: OWNER, to: USDC, data: `0x40c10f19${address(BUYER)}${word(10 ** 9)}` });
    await this.installPermit2();
  }

  /** Puts what stands in for Permit2 and the proxies where those are; the buyer approves Permit2. */
  async installPermit2() {
    const contracts = [["Permit2", PERMIT2], ["ExactProxy", EXACT_PROXY], ["UptoProxy", UPTO_PROXY]];
    for (const [name, at] of contracts) {
      const file = join(root, "tests/contracts/bytecode", `${name}.runtime.hex`);
      await this.rpc("anvil_setCode", at, `0x${readFileSync(file, "utf8").trim()}`);
    }
    // approve(address,uint256), from an account that the node has unlocked
    const data = `0x095ea7b3${address(PERMIT2)}${"f".repeat(64)}`;
    await this.send({ from: BUYER, to: USDC, data });
  }

  /** Somebody's tokens, in atomic units. */
  async balance(of) {
    const call = { to: USDC, data: `0x70a08231${address(of)}` };
    return Number(BigInt(await this.rpc("eth_call", call, "latest")));
  }
}
