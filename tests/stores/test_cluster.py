"""A cluster with all keys of an account in one slot, which may move from node to node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio.cluster import RedisCluster
from stores.lives import (
    CLUSTER_COMMANDS,
    Callers,
    Skip,
    account_of,
    becomes,
    cluster_url,
    full_life,
    provider,
    strangers,
    timed,
    unreachable_port,
)
from tokens.doubles import until

from enkash_async.errors import TokenStoreError
from enkash_async.sandbox import Sandbox
from enkash_async.tokens import Identity, Lead, RedisTokenProvider, RedisTokenStore, Token

from servers import HOST, Cluster, free_ports, running_cluster


@pytest.fixture(scope="module")
def cluster(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(flavour, tmp_path_factory.mktemp(flavour)) as made:
        yield made


@asynccontextmanager
async def _client(cluster: Cluster) -> AsyncIterator[RedisCluster]:
    """A user's own client."""
    async with RedisCluster.from_url(cluster.url) as made:
        yield made


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_url_of_a_cluster_leads_to_the_node(cluster: Cluster, protocol: int) -> None:
    """Accounts on different nodes run through a token's whole life in RESP2 and RESP3."""
    store = RedisTokenStore.from_url(f"{cluster_url(cluster)}?protocol={protocol}")
    owners = {cluster.owner_of(f"{{{await full_life(store)}}}") for _ in range(12)}
    await store.aclose()
    assert len(owners) > 1


async def test_a_cluster_client_of_the_application_serves(cluster: Cluster) -> None:
    """The store keeps tokens through the application's client and does not close it."""
    async with _client(cluster) as client:
        store = RedisTokenStore(client)
        await full_life(store)
        await store.aclose()
        assert await client.ping()


async def test_many_accounts_at_once_share_a_few_connections(cluster: Cluster) -> None:
    """A caller waits for a free connection and is not told that Redis is away."""
    store = RedisTokenStore.from_url(cluster_url(cluster))
    who = [Identity(f"crowd-{number}", "right") for number in range(100)]
    claims = await asyncio.gather(*(store.claim(one, "owner", above=-1) for one in who), return_exceptions=True)
    await store.aclose()
    assert [claim for claim in claims if not isinstance(claim, Lead)] == []


@pytest.mark.parametrize("loss", ["refuses", "is unreachable"])
async def test_a_lost_node_of_the_url_keeps_nobody_from_the_others(cluster: Cluster, loss: str) -> None:
    """The store connects, whichever node of the URL it asks first."""
    with unreachable_port() as dark:
        port = {"refuses": free_ports(1)[0], "is unreachable": dark}[loss]
        url = cluster_url(cluster).replace("//", f"//{HOST}:{port},")
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(seconds)

        for _ in range(4):  # redis-py shuffles them
            store = RedisTokenStore(url, sleep=pause)
            await full_life(store)
            await store.aclose()
        assert pauses == []  # the first attempt was enough


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_commands_for_a_cluster_are_enough(cluster: Cluster, protocol: int) -> None:
    """A user with the listed commands alone can claim a lease while the slot moves to another node."""
    for node in cluster.nodes:
        allowed = (f"+{command}" for command in CLUSTER_COMMANDS)
        node.ask("ACL", "SETUSER", "enkash", "reset", "on", ">made-up", "~enkash:v1:*", "-@all", *allowed)
    store = RedisTokenStore.from_url(cluster_url(cluster).replace("//", "//enkash:made-up@") + f"?protocol={protocol}")
    await full_life(store)
    who = Identity(f"moving-{protocol}", "right")
    slot = cluster.slot_of(f"{{{who.account}}}")
    target = cluster.other_than(cluster.owner_of_slot(slot))
    with target.admin() as admin:
        admin.config_resetstat()
    move = asyncio.create_task(asyncio.to_thread(cluster.migrate_slot, slot, target, pause=0.2))
    await becomes(lambda: _is_moving(cluster, slot))
    assert isinstance(await store.claim(who, "owner", above=-1), Lead)
    await move
    assert target.commandstats()["asking"] > 0
    await store.aclose()


async def _is_moving(cluster: Cluster, slot: int) -> bool:
    return f"[{slot}->-" in cluster.owner_of_slot(slot).ask("CLUSTER", "NODES")


async def test_all_connections_are_closed_at_the_end(cluster: Cluster) -> None:
    """The store closes them also while its client waits for a node that does not answer."""
    await until(lambda: not any(map(strangers, cluster.nodes)))
    store = RedisTokenStore.from_url(cluster_url(cluster), timeout=0.1)
    account = await full_life(store)
    node = cluster.owner_of(f"{{{account}}}")
    assert strangers(node)
    node.freeze()
    outcome, _ = await timed(lambda: store.status(Identity(account, "right")))
    assert isinstance(outcome, TokenStoreError)
    await store.aclose()
    node.thaw()
    await until(lambda: not any(map(strangers, cluster.nodes)))
    cluster.await_ok()


async def test_a_slot_moves_unnoticed(cluster: Cluster) -> None:
    """Callers see no error, new workers wait, and the move causes no login."""
    async with Sandbox(token_lifetime=60) as steady, Sandbox(token_lifetime=2) as brief, _client(cluster) as theirs:
        redises = (cluster_url(cluster), theirs)
        long_lived, short_lived = [[provider(sandbox, redis) for redis in redises] for sandbox in (steady, brief)]
        async with Callers(*long_lived) as calm, Callers(*short_lived) as busy:
            await calm.hear(100)
            await busy.hear(100)
            for sandbox, callers in ((steady, calm), (brief, busy)):
                cold = [provider(sandbox, redis) for redis in redises]
                callers.generations |= await _got_while_the_slot_moves(cluster, account_of(sandbox), cold)
        assert (calm.errors, busy.errors) == ([], [])
        assert steady.counts["token"] == len(calm.generations) == 1
        # The last login may have come after the last caller.
        assert len(busy.generations) <= brief.counts["token"] <= len(busy.generations) + 1
        for one in (*long_lived, *short_lived):
            await one.aclose()


async def _got_while_the_slot_moves(cluster: Cluster, who: Identity, cold: list[RedisTokenProvider]) -> set[int]:
    """Move an account's slot, ask workers that have no token when half of its keys have moved, and close them."""
    slot = cluster.slot_of(f"{{{who.account}}}")
    source = cluster.owner_of_slot(slot)
    target = cluster.other_than(source)
    target.ask("SCRIPT", "FLUSH")
    for server in (source, target):
        server.ask("CONFIG", "RESETSTAT")
    move = asyncio.create_task(asyncio.to_thread(cluster.migrate_slot, slot, target, pause=0.4))
    await until(lambda: bool(target.ask("CLUSTER", "COUNTKEYSINSLOT", slot)))
    tokens = await asyncio.gather(*(one.get_token() for one in cold))
    await move
    assert "errorstat_TRYAGAIN" in {**source.info("errorstats"), **target.info("errorstats")}
    assert (await cold[0].status()).proven
    assert target.commandstats()["eval"] > 0  # it did not know the scripts
    for one in cold:
        await one.aclose()
    return {token.generation for token in tokens}


async def test_while_a_slot_is_stuck_the_token_in_hand_serves(cluster: Cluster, sandbox: Sandbox) -> None:
    """A worker without a token gets an error within a bounded time, and a token afterwards."""
    tag = f"{{{account_of(sandbox).account}}}"
    slot, target = cluster.slot_of(tag), cluster.other_than(cluster.owner_of(tag))
    clock = Skip()
    warm, cold = [provider(sandbox, cluster_url(cluster), clock=clock) for _ in range(2)]
    token = await warm.get_token()
    async with Callers(warm) as callers:
        with cluster.migrating(slot, target):
            outcome, took = await timed(cold.get_token)
            assert isinstance(outcome, TokenStoreError)
            assert took < 5
        clock.ahead += 1.5
        await becomes(lambda: _has(cold, token))
    assert callers.errors == []
    assert sandbox.counts["token"] == 1
    for one in (warm, cold):
        await one.aclose()


async def _has(worker: RedisTokenProvider, token: Token) -> bool:
    outcome, _ = await timed(worker.get_token)
    return isinstance(outcome, Token) and outcome.generation == token.generation
