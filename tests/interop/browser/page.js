// A page of another origin than the shop's: it reads the price, has its wallet sign, pays, and reads what it
// has bought. `?shop=URL&task=NAME` says what it does; it tells its own server what came of it.

const { shop, task } = Object.fromEntries(new URLSearchParams(location.search));

const ask = async (path, body) => {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  return answer.json();
};

/** What the SDKs of language models send beside. */
const SDK = {
  "content-type": "application/json",
  "x-api-key": "none",
  "anthropic-version": "2023-06-01",
  "x-stainless-lang": "js",
  "x-stainless-retry-count": "0",
};

/** The price, where each dialect has it. */
const terms = async (dialect, answer) => {
  if (dialect === "v2") return answer.headers.get("payment-required");
  if (dialect === "v1") return answer.json();
  return Object.fromEntries([...answer.headers].filter(([name]) => name.startsWith("x-payment")));
};

/** Asks for what has a price; gives the request, and the fields that pay for it. */
const priced = async (dialect, path, options) => {
  const unpaid = await fetch(shop + path, options);
  if (unpaid.status !== 402) throw new Error(`${path}: ${unpaid.status} in place of the price`);
  return ask("/sign", { dialect, terms: await terms(dialect, unpaid) });
};

const pay = (path, options, fields) =>
  fetch(shop + path, { ...options, headers: { ...options.headers, ...fields } });

const OUTCOMES = { v2: "payment-response", v1: "x-payment-response", headers: "x-payment-transaction" };

const read = async (dialect, answer) => ({
  status: answer.status,
  outcome: answer.headers.get(OUTCOMES[dialect]) !== null,
  extra: answer.headers.get("x-request-id"),
  body: await answer.text(),
});

const tasks = {
  /** Buys in each dialect, and asks for the same again; then what the server behind wants paid itself. */
  buy: async () => {
    const results = {};
    const options = { method: "POST", headers: SDK, body: '{"prompt":"hello"}' };
    for (const dialect of ["v2", "v1", "headers"]) {
      const fields = await priced(dialect, "/paid", options);
      const first = await read(dialect, await pay("/paid", options, fields));
      const again = await read(dialect, await pay("/paid", options, fields));
      const fields502 = await priced(dialect, "/wants-money", options);
      const refused = await read(dialect, await pay("/wants-money", options, fields502));
      results[dialect] = { first, again, refused };
    }
    return results;
  },

  /** Reads a stream of events, and says of each piece that it has come. */
  stream: async () => {
    const fields = await priced("v2", "/stream", { method: "GET" });
    const answer = await pay("/stream", { method: "GET" }, fields);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const pieces = [];
    for (let end = await reader.read(); !end.done; end = await reader.read()) {
      pieces.push(end.value);
      await ask("/came", {});
    }
    return { status: answer.status, pieces };
  },

  /** Buys with what the browser knows of its user. */
  user: async () => {
    const options = { method: "GET", credentials: "include" };
    const fields = await priced("v2", "/user", options);
    return read("v2", await pay("/user", options, fields));
  },

  /** Asks for the price, and sends a payment without having read it. */
  stranger: async () => {
    const options = { method: "GET" };
    const { terms } = await ask("/terms", {});
    const fields = await ask("/sign", { dialect: "v2", terms });
    const attempt = (request) => request.then((answer) => `read: ${answer.status}`, (error) => error.name);
    return { price: await attempt(fetch(`${shop}/user`)), paid: await attempt(pay("/user", options, fields)) };
  },
};

let result;
try {
  result = await tasks[task]();
} catch (error) {
  result = { error: `${error}` };
}
await ask("/result", result);
