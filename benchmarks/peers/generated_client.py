"""A client as openapi-generator's `python` generator with `library=asyncio` builds one: pydantic models over aiohttp.

Written here by hand after the architecture that the generator's page «Documentation for the python Generator» and its
sample clients show, since no description of EnKash's API is published: `Configuration`, an `ApiClient` that takes a
request apart and puts a reply together, a REST client over aiohttp, and a method with `validate_call` for each route.
A generated session has `trust_env=True`, so that aiohttp looks in a thread for a proxy and a netrc file before each
request, and no switch for it. Since that is most of what such a client costs, `connected` can leave it out.

It takes its token from outside and never renews it, does not look at `response_code`, repeats nothing, and reads
amounts as floats.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr, validate_call

from benchmarks._samples import BILL_PATH
from benchmarks.peers import generated_models
from benchmarks.peers.bare_aiohttp import log_in
from benchmarks.peers.generated_models import BillReply

if TYPE_CHECKING:
    from enkash_async import Credentials

__all__ = ["connected"]

_Serialized = tuple[str, str, dict[str, str], Any]


class Configuration:
    """Where the API is, and how to get in.

    Args:
        host: The base URL.
        access_token: What the header `Authorization` carries.
        connection_pool_maxsize: The most connections.
        trust_env: Whether to look for proxies; a generated client always does.
    """

    def __init__(
        self, host: str, access_token: str, connection_pool_maxsize: int = 100, trust_env: bool = True
    ) -> None:
        self.host = host
        self.access_token = access_token
        self.connection_pool_maxsize = connection_pool_maxsize
        self.trust_env = trust_env
        self.safe_chars_for_path_param = ""

    def auth_settings(self) -> dict[str, dict[str, str]]:
        """Return how each kind of authentication goes into a request."""
        return {
            "bearerAuth": {
                "type": "bearer",
                "in": "header",
                "key": "Authorization",
                "value": "Bearer " + self.access_token,
            }
        }


class ApiException(Exception):  # noqa: N818 (the generator's name)
    """A reply whose status is not 2xx.

    Args:
        status: The status.
        body: What came.
    """

    def __init__(self, status: int, body: str | None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class RESTResponse(io.IOBase):
    """A reply; its body has to be read.

    Args:
        reply: As aiohttp gives it.
    """

    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self.response = reply
        self.status = reply.status
        self.reason = reply.reason
        self.data: bytes | None = None

    async def read(self) -> bytes:
        """Return the body."""
        if self.data is None:
            self.data = await self.response.read()
        return self.data

    def getheaders(self) -> Mapping[str, str]:
        """Return the headers."""
        return self.response.headers

    def getheader(self, name: str, default: str | None = None) -> str | None:
        """Return a header, or the default."""
        return self.response.headers.get(name, default)


class RESTClientObject:
    """Sends requests through aiohttp.

    Args:
        configuration: How.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.pool_manager = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=configuration.connection_pool_maxsize),
            trust_env=configuration.trust_env,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self.pool_manager.close()

    async def request(
        self, method: str, url: str, headers: dict[str, str] | None, body: Any, timeout: float | None
    ) -> RESTResponse:
        """Return the reply to a request."""
        headers = headers or {}
        if "Content-Type" not in headers:
            headers["Content-Type"] = "application/json"
        arguments: dict[str, Any] = {
            "method": method.upper(),
            "url": url,
            "timeout": aiohttp.ClientTimeout(total=timeout or 5 * 60),
            "headers": headers,
        }
        if body is not None and re.search("json", headers["Content-Type"], re.IGNORECASE):
            arguments["data"] = json.dumps(body)
        return RESTResponse(await self.pool_manager.request(**arguments))


class ApiResponse(BaseModel):
    """A reply with its data."""

    status_code: StrictInt
    headers: Mapping[str, str] | None = None
    data: Any
    raw_data: bytes

    model_config = ConfigDict(arbitrary_types_allowed=True)


class ApiClient:
    """What all the methods share.

    Args:
        configuration: Of the client.
    """

    _PRIMITIVE = (float, bool, bytes, str, int)

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.rest_client = RESTClientObject(configuration)
        self.default_headers = {"User-Agent": "OpenAPI-Generator/1.0.0/python"}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.rest_client.close()

    def param_serialize(
        self,
        method: str,
        resource_path: str,
        path_params: dict[str, Any],
        header_params: dict[str, Any],
        body: Any,
        auth_settings: list[str],
    ) -> _Serialized:
        """Return method, URL, headers and body of a request."""
        header_params = dict(self.sanitize_for_serialization(header_params | self.default_headers).items())
        for name, value in self.sanitize_for_serialization(path_params).items():
            quoted = quote(str(value), safe=self.configuration.safe_chars_for_path_param)
            resource_path = resource_path.replace("{%s}" % name, quoted)  # noqa: UP031 (braces)
        for name in auth_settings:
            setting = self.configuration.auth_settings().get(name)
            if setting and setting["in"] == "header":
                header_params[setting["key"]] = setting["value"]
        if body:
            body = self.sanitize_for_serialization(body)
        return method, self.configuration.host + resource_path, header_params, body

    async def call_api(
        self, method: str, url: str, headers: dict[str, str], body: Any, timeout: float | None
    ) -> RESTResponse:
        """Return the reply to a request that `param_serialize` took apart."""
        return await self.rest_client.request(method, url, headers=headers, body=body, timeout=timeout)

    def response_deserialize(self, response: RESTResponse, types: dict[str, str | None]) -> ApiResponse:
        """Return a reply with its data as the type that its status stands for."""
        kind = types.get(str(response.status)) or types.get(str(response.status)[0] + "XX")
        text = data = None
        try:
            if kind is not None and response.data is not None:
                content_type = response.getheader("content-type")
                match = re.search(r"charset=([a-zA-Z\-\d]+)[\s;]?", content_type) if content_type else None
                text = response.data.decode(match.group(1) if match else "utf-8")
                data = self.deserialize(json.loads(text), kind)
        finally:
            if not 200 <= response.status <= 299:
                raise ApiException(response.status, text)
        return ApiResponse(
            status_code=response.status, data=data, headers=response.getheaders(), raw_data=response.data or b""
        )

    def sanitize_for_serialization(self, value: Any) -> Any:
        """Return a value as something that JSON has."""
        if value is None or isinstance(value, self._PRIMITIVE):
            return value
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, (list, tuple)):
            return [self.sanitize_for_serialization(item) for item in value]
        if isinstance(value, BaseModel):
            value = value.model_dump(by_alias=True, exclude_unset=True)
        return {name: self.sanitize_for_serialization(item) for name, item in value.items()}

    def deserialize(self, data: Any, kind: str) -> Any:
        """Return decoded JSON as a model, which is named by a string."""
        if data is None:
            return None
        if kind.startswith("List["):
            return [self.deserialize(item, kind[5:-1]) for item in data]
        return getattr(generated_models, kind).from_dict(data)


class UtilityPaymentApi:
    """The routes of bills.

    Args:
        api_client: Sends.
    """

    def __init__(self, api_client: ApiClient) -> None:
        self.api_client = api_client

    @validate_call
    async def get_bill(
        self,
        utility_enkash_id: Annotated[StrictStr, Field(description="EnKash's id of the bill")],
        _request_timeout: Annotated[StrictFloat, Field(gt=0)] | None = None,
        _headers: dict[StrictStr, Any] | None = None,
    ) -> BillReply:
        """Return a bill.

        Args:
            utility_enkash_id: Its id.
        """
        parameters = self._get_bill_serialize(utility_enkash_id, _headers)
        response = await self.api_client.call_api(*parameters, timeout=_request_timeout)
        await response.read()
        found: BillReply = self.api_client.response_deserialize(response, {"200": "BillReply", "404": None}).data
        return found

    def _get_bill_serialize(self, utility_enkash_id: str, headers: dict[str, Any] | None) -> _Serialized:
        return self.api_client.param_serialize(
            method="GET",
            resource_path=BILL_PATH + "{utilityEnkashId}",
            path_params={"utilityEnkashId": utility_enkash_id},
            header_params={"Accept": "application/json", **(headers or {})},
            body=None,
            auth_settings=["bearerAuth"],
        )


@contextlib.asynccontextmanager
async def connected(
    base_url: str, credentials: Credentials, connections: int, *, trust_env: bool = True
) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Log in by hand, and yield what reads a bill and returns its reference.

    Args:
        base_url: Where the server is.
        credentials: Of the server.
        connections: The most that may be open.
        trust_env: As in `Configuration`.
    """
    token = (await log_in(base_url, credentials)).removeprefix("Bearer ")
    async with ApiClient(Configuration(base_url, token, connections, trust_env)) as api_client:
        api = UtilityPaymentApi(api_client)

        async def get(bill_id: str) -> str:
            bill = (await api.get_bill(utility_enkash_id=bill_id)).payload
            return bill.reference_id or "" if bill is not None else ""

        yield get
