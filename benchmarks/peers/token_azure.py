"""azure-identity's asynchronous `ClientSecretCredential`, as «Azure Identity client library for Python» shows it.

It logs in at one https host only. So its transport, which every Azure client takes as an argument, sends the login to
the local server instead; from then on the token lies in the credential's own cache.

The cache is searched by tenant and scope, which EnKash does not have. Azure's own clients do not ask the credential
for each request: a policy of azure-core keeps its token in between, which is the other thing measured here. Neither
guards an account against wrong passwords. Processes can share a token through a file of one machine.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import attrs
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy
from azure.core.pipeline.transport import AioHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest
from azure.identity.aio import ClientSecretCredential

from benchmarks._samples import TOKEN_PATH
from benchmarks._server import CREDENTIALS

__all__ = ["Azure", "opened"]

_SCOPE = "https://vault.azure.net/.default"
_TENANT = "00000000-0000-0000-0000-000000000001"


class _Redirected(AioHttpTransport):  # type: ignore[misc]  # the module makes it up on first use
    """Sends every request to the local server."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self._target = base_url + TOKEN_PATH

    async def send(self, request: Any, **options: Any) -> Any:
        request.url = self._target
        return await super().send(request, **options)


@attrs.frozen
class Azure:
    """A credential with a token in its cache.

    Attributes:
        credential: The credential.
        policy: What a client keeps the token in.
    """

    credential: ClientSecretCredential
    policy: AsyncBearerTokenCredentialPolicy[HttpRequest, AsyncHttpResponse]

    async def ask(self, times: int) -> None:
        """Ask the credential so many times."""
        credential = self.credential
        for _ in range(times):
            await credential.get_token(_SCOPE)

    async def sign(self, times: int) -> None:
        """Let the policy put the token into a header so many times."""
        policy = self.policy
        request = PipelineRequest(HttpRequest("GET", "https://localhost/"), PipelineContext(None))  # never sent
        for _ in range(times):
            await policy.on_request(request)


@contextlib.asynccontextmanager
async def opened(base_url: str) -> AsyncIterator[Azure]:
    """Log in, and close the credential at the end."""
    credential = ClientSecretCredential(
        _TENANT, CREDENTIALS.client_id, CREDENTIALS.client_secret, transport=_Redirected(base_url)
    )
    async with credential:
        made = Azure(credential, AsyncBearerTokenCredentialPolicy(credential, _SCOPE))
        await made.ask(1)
        await made.sign(1)
        yield made
