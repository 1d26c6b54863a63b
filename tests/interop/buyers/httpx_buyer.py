"""A buyer of v2: httpx, wrapped by the Python SDK."""

import asyncio
import json
import os

from eth_account import Account
from x402 import x402Client
from x402.http.clients.httpx import x402HttpxClient
from x402.mechanisms.evm.exact import ExactEvmScheme
from x402.mechanisms.evm.signers import EthAccountSigner


async def main() -> None:
    signer = EthAccountSigner(Account.from_key(os.environ["PRIVATE_KEY"]))
    client = x402Client()
    client.register(os.environ["NETWORK"], ExactEvmScheme(signer))
    async with x402HttpxClient(client) as http:
        answer = await http.get(os.environ["URL"])
        print(json.dumps({"status": answer.status_code, "body": answer.text}))


asyncio.run(main())
