// Stands before a seller, and cuts the connection of the first request that carries a payment when its
// answer begins: by then the money has moved, and nobody has the answer.

import { connect, createServer } from "node:net";

const PAYMENT = /^(payment-signature|x-payment|x-payment-signature)\s*:/im;

/** Gives the URL to go by, how often it has cut, and how to end it. */
export const cutter = async (url) => {
  const target = new URL(url);
  const { hostname, port } = target;
  let cuts = 0;
  const server = createServer((client) => {
    const seller = connect(Number(port), hostname);
    let head = "";
    const end = () => {
      client.destroy();
      seller.destroy();
    };
    client.on("error", end).on("close", end);
    seller.on("error", end).on("close", end);
    client.on("data", (data) => {
      head = (head + data.toString("latin1")).slice(-65_536);
      seller.write(data);
    });
    seller.on("data", (data) => {
      if (cuts === 0 && PAYMENT.test(head)) {
        cuts += 1;
        return end();
      }
      head = "";
      client.write(data);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  target.port = server.address().port;
  return { url: target.href, cuts: () => cuts, stop: () => server.close() };
};
