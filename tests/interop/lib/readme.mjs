// The matrix as README has it, between two marks.

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const path = join(here, "..", "..", "README.md");
const [OPEN, CLOSE] = ["<!-- matrix -->\n", "<!-- /matrix -->"];

const locked = (folder, name) => {
  const lock = JSON.parse(readFileSync(join(here, folder, "package-lock.json"), "utf8"));
  return lock.packages[`node_modules/${name}`].version;
};

const pinned = (file, pattern) => {
  const found = readFileSync(join(here, file), "utf8").match(pattern);
  if (!found) throw new Error(`${file} has no ${pattern}`);
  return found[1];
};

/** What the names in the table stand for: the versions that the lock files name. */
const versions = () => {
  const npm = (folder, ...names) => names.map((name) => `${name} ${locked(folder, name)}`);
  const rust = (name) => `${name} ${pinned("rust/Cargo.lock", new RegExp(`"${name}"\nversion = "(.*)"`))}`;
  return [
    `npm ${npm(".", "@x402/fetch", "@x402/axios", "@x402/express", "@x402/core", "@x402/evm").join(", ")}`,
    `npm ${npm("v1", "x402-fetch", "x402-express").join(", ")} (v1)`,
    `PyPI x402 ${pinned("requirements.txt", /^x402\S*==(\S+)/m)}`,
    `crates ${["x402-reqwest", "x402-axum"].map(rust).join(", ")}`,
  ];
};

/** One line for each seller and facilitator, one column for each buyer. */
const table = (rows) => {
  const unique = (values) => [...new Set(values)];
  const buyers = unique(rows.map((row) => row.buyer));
  const places = unique(rows.map((row) => `${row.seller} | ${row.facilitator}`));
  const cell = (place, buyer) =>
    rows.find((row) => `${row.seller} | ${row.facilitator}` === place && row.buyer === buyer)
      ?.result === "paid" ? "paid" : "·";
  const lines = places.map((place) => [place, ...buyers.map((buyer) => cell(place, buyer))]);
  const head = ["seller | facilitator", ...buyers];
  const line = (cells) => `| ${cells.join(" | ")} |\n`;
  return `${line(head)}|${"---|".repeat(buyers.length + 2)}\n${lines.map(line).join("")}`;
};

const section = (rows) =>
  `${table(rows)}\nThe others are ${versions().join(";\n")}.\n`;

const parts = () => {
  const text = readFileSync(path, "utf8");
  const [from, to] = [text.indexOf(OPEN) + OPEN.length, text.indexOf(CLOSE)];
  if (from < OPEN.length || to < from) throw new Error(`README has no ${OPEN}`);
  return [text.slice(0, from), text.slice(from, to), text.slice(to)];
};

export const write = (rows) => {
  const [before, , after] = parts();
  writeFileSync(path, before + section(rows) + after);
};

export const isTrue = (rows) => {
  if (parts()[1] === section(rows)) return true;
  console.error("README's table is another: node matrix.mjs --readme writes this one");
  return false;
};
