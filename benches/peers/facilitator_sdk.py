#!/usr/bin/env python3
"""A facilitator of the official Python SDK, behind FastAPI, whose threads its calls wait in."""

import os

import uvicorn
from fastapi import FastAPI
from x402 import x402FacilitatorSync
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.schemas import parse_payment_payload, parse_payment_requirements

signer = FacilitatorWeb3Signer(os.environ["PRIVATE_KEY"], os.environ["RPC_URL"])
facilitator = x402FacilitatorSync()
register_exact_evm_facilitator(facilitator, signer, networks=os.environ["NETWORK"])
app = FastAPI()


def read(body):
    payload = parse_payment_payload(body["paymentPayload"])
    return payload, parse_payment_requirements(payload.x402_version, body["paymentRequirements"])


@app.post("/verify")
def verify(body: dict) -> dict:
    return facilitator.verify(*read(body)).model_dump(by_alias=True, exclude_none=True)


@app.post("/settle")
def settle(body: dict) -> dict:
    return facilitator.settle(*read(body)).model_dump(by_alias=True, exclude_none=True)


uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
