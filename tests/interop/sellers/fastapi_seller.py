"""A seller of v2: FastAPI, with the Python SDK's middleware before it."""

import json
import os

import uvicorn
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from x402 import x402ResourceServer
from x402.http.facilitator_client import HTTPFacilitatorClient
from x402.http.facilitator_client_base import FacilitatorConfig
from x402.http.middleware.fastapi import PaymentMiddlewareASGI
from x402.http.types import PaymentOption, RouteConfig
from x402.mechanisms.evm.exact.server import ExactEvmScheme
from x402.schemas import AssetAmount

network = os.environ["NETWORK"]
facilitator = HTTPFacilitatorClient(FacilitatorConfig(url=os.environ["FACILITATOR_URL"]))
server = x402ResourceServer(facilitator)
server.register(network, ExactEvmScheme())
price = AssetAmount(
    asset=os.environ["ASSET"],
    amount=os.environ["AMOUNT"],
    extra={"name": "USDC", "version": "2"},
)
option = PaymentOption(scheme="exact", network=network, pay_to=os.environ["PAY_TO"], price=price)
app = FastAPI()
app.add_middleware(
    PaymentMiddlewareASGI,
    routes={"GET /paid": RouteConfig(accepts=[option], description="the goods")},
    server=server,
)


@app.get("/paid")
async def paid() -> PlainTextResponse:
    return PlainTextResponse("the goods")


@app.on_event("startup")
async def ready() -> None:
    print(json.dumps({"listening": os.environ["PORT"]}), flush=True)


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
