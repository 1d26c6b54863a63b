// Compiles the contracts beside this file to the hex texts that the development chain is built from.
//
//   node compile.mjs           writes x402-std/src/devnet/bytecode/*.hex
//   node compile.mjs --check   writes nothing; exits 1 and names the first text that is not as compiled

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const CONTRACTS = ["Token", "Multicall3"];
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");
const out = join(root, "x402-std", "src", "devnet", "bytecode");

const fail = (text) => {
  console.error(text);
  process.exit(1);
};

/** The compiler's input: everything that decides the bytes is in here or in the exact version of solc. */
const input = () => ({
  language: "Solidity",
  sources: Object.fromEntries(
    CONTRACTS.map((name) => [
      `${name}.sol`,
      { content: readFileSync(join(here, `${name}.sol`), "utf8") },
    ]),
  ),
  settings: {
    evmVersion: "cancun",
    optimizer: { enabled: true, runs: 200 },
    // Without the hash of the metadata, a comment does not change the code.
    metadata: { bytecodeHash: "none" },
    outputSelection: { "*": { "*": ["evm.bytecode.object", "evm.deployedBytecode.object"] } },
  },
});

/** File name to hex text of all contracts. */
const compile = () => {
  const { contracts, errors = [] } = JSON.parse(solc.compile(JSON.stringify(input())));
  if (errors.length > 0) fail(errors.map((e) => e.formattedMessage).join("\n"));
  return CONTRACTS.flatMap((name) => {
    const { bytecode, deployedBytecode } = contracts[`${name}.sol`][name].evm;
    return [
      [`${name}.creation.hex`, `${bytecode.object}\n`],
      [`${name}.runtime.hex`, `${deployedBytecode.object}\n`],
    ];
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
mkdirSync(out, { recursive: true });
for (const [name, text] of compile()) {
  const path = join(out, name);
  if (!check) writeFileSync(path, text);
  else if (read(path) !== text) {
    fail(`${relative(root, path)} differs from what the contracts compile to: run node compile.mjs`);
  }
}
