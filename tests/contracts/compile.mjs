// Compiles the contracts beside this file to hex texts: those that the development chain is built
// from, and those that tests put on other chains.
//
//   node compile.mjs           writes x402-std/src/devnet/bytecode/*.hex, and bytecode/*.hex here
//   node compile.mjs --check   writes nothing; exits 1 and names the first text that is not as compiled

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const devnet = join(root, "x402-std", "src", "devnet", "bytecode");
const tests = join(here, "bytecode");

/**
 * Contract, file, where its code goes, and in which form: `creation` is what a transaction deploys
 * it with, for those with a constructor; `runtime` is what is put at an address as it is.
 */
const CONTRACTS = [
  ["Token", "Token.sol", devnet, ["creation", "runtime"]],
  ["Multicall3", "Multicall3.sol", devnet, ["creation", "runtime"]],
  ["Permit2", "Permit2.sol", tests, ["runtime"]],
  ["ExactProxy", "Proxies.sol", tests, ["runtime"]],
  ["UptoProxy", "Proxies.sol", tests, ["runtime"]],
  ["WalletFactory", "Wallet.sol", tests, ["runtime"]],
  ["OddToken", "OddToken.sol", tests, ["creation", "runtime"]],
  ["AdminProxy", "AdminProxy.sol", tests, ["creation"]],
  ["Wrapper", "Wrapper.sol", tests, ["runtime"]],
  ["YesWallet", "Wallets.sol", tests, ["runtime"]],
  ["GasPriceWallet", "Wallets.sol", tests, ["runtime"]],
  ["BlockWallet", "Wallets.sol", tests, ["runtime"]],
  ["SwitchWallet", "Wallets.sol", tests, ["runtime"]],
];

const fail = (text) => {
  console.error(text);
  process.exit(1);
};

/** The compiler's input: everything that decides the bytes is in here or in the exact version of solc. */
const input = () => ({
  language: "Solidity",
  sources: Object.fromEntries(
    CONTRACTS.map(([, file]) => [file, { content: readFileSync(join(here, file), "utf8") }]),
  ),
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 200 },
    // Without the hash of the metadata, a comment does not change the code.
    metadata: { bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
});

/** Path and hex text of all contracts. */
const compile = () => {
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input())));
  if (errors.length > 0) fail(errors.map((e) => e.formattedMessage).join("\n"));
  return CONTRACTS.flatMap(([name, file, out, forms]) => {
    const { bytecode, deployedBytecode } = contracts[file][name].evm;
    const code = { creation: bytecode.object, runtime: deployedBytecode.object };
    return forms.map((form) => [join(out, `${name}.${form}.hex`), `${code[form]}\n`]);
  });
};

const read = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
};

const check = process.argv.includes("--check");
mkdirSync(tests, { recursive: true });
for (const [path, text] of compile()) {
  if (!check) writeFileSync(path, text);
  else if (read(path) !== text) {
    fail(`${relative(root, path)} differs from what the contracts compile to: run node compile.mjs`);
  }
}
