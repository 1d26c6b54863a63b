// Starts programs and ends them by their id, whatever happens.

import { spawn } from "node:child_process";
import { createServer } from "node:net";

const running = new Set();

const end = () => running.forEach((child) => child.kill("SIGKILL"));
process.on("exit", end);
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

/** A port that is free now. */
export const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Starts a program that goes on; ready when a line of its output has `ready` in it. */
export const start = (command, args, { env = {}, ready, seconds = 30, cwd } = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "pipe"],
      cwd,
    });
    running.add(child);
    let output = "";
    const fail = (why) => {
      child.kill("SIGKILL");
      reject(new Error(`${command} ${args[0]}: ${why}\n${output}`));
    };
    const timer = setTimeout(() => fail(`not ready in ${seconds} s`), seconds * 1000);
    const read = (data) => {
      output = (output + data).slice(-20_000);
      if (!output.includes(ready)) return;
      clearTimeout(timer);
      resolve({ stop: () => stop(child), output: () => output });
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => {
      running.delete(child);
      clearTimeout(timer);
      fail(`ended with ${code}`);
    });
  });

const stop = (child) =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    child.on("exit", () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill("SIGTERM");
  });

/** Runs a program to its end; gives its exit code and what it wrote. */
export const run = (command, args, { env = {}, seconds = 60, cwd } = {}) =>
  new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      cwd,
    });
    running.add(child);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (data) => (stdout += data));
    child.stderr.on("data", (data) => (stderr += data));
    const timer = setTimeout(() => child.kill("SIGKILL"), seconds * 1000);
    child.on("error", reject);
    child.on("exit", (code) => {
      running.delete(child);
      clearTimeout(timer);
      resolve({ code, stdout, stderr });
    });
  });
