"""
What one would write on an afternoon: FastAPI and httpx2, a path operation, a map of tokens, no audit.

Served by uvicorn on uvloop and httptools without an access log. Read from the environment: `NOOJEE_URL`, `NOOJEE_CA`,
`NOOJEE_KEY`, and `TOKENS`, a file with one token a line.
"""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from fastapi import FastAPI, HTTPException, Request, Response

NOOJEE = os.environ["NOOJEE_URL"]
KEYS = {f"Bearer {token}": os.environ["NOOJEE_KEY"] for token in Path(os.environ["TOKENS"]).read_text().split()}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """
    One client for all calls, which verifies the upstream's certificate.
    """
    context = ssl.create_default_context(cafile=os.environ["NOOJEE_CA"])
    async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/servicemanager/rest/{family}/{method}")
async def forward(family: str, method: str, request: Request) -> Response:
    """
    Take the token out, put the key in, and pass the call on.
    """
    key = KEYS.get(request.headers.get("authorization", ""))
    if key is None:
        raise HTTPException(401)
    reply = await request.app.state.client.post(
        f"{NOOJEE}/servicemanager/rest/{family}/{method}",
        params=[("apiKey", key), *request.query_params.multi_items()],
        content=await request.body(),
        headers={"Content-Type": request.headers.get("content-type", "application/x-www-form-urlencoded")},
    )
    return Response(reply.content, reply.status_code, media_type=reply.headers.get("content-type"))
