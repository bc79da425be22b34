"""A cluster: the record of an account lies in one slot, which may move from node to node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio.cluster import RedisCluster
from stores.lives import Callers, provider, record_of, strangers, unreachable_port, whole_life
from stores.stores import Skip, cluster_url, put, timed, value_of
from tokens.doubles import until

from enkash_async.errors import StoreUnavailableError
from enkash_async.sandbox import Sandbox
from enkash_async.stores import RedisStore
from enkash_async.stores.redis_url import close, tracked
from enkash_async.tokens import Token

from servers import HOST, Cluster, free_ports, running_cluster

KEY = "enkash:test:v2:key"


@pytest.fixture(scope="module")
def cluster(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(flavour, tmp_path_factory.mktemp(flavour)) as made:
        yield made


@asynccontextmanager
async def _client(cluster: Cluster) -> AsyncIterator[RedisCluster]:
    """A user's own client, all of whose connections are closed at the end, which redis-py does not do."""
    made = tracked(RedisCluster.from_url(cluster.url))
    try:
        yield made
    finally:
        await close(made)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_workers_share_a_token_through_a_url_of_a_cluster(cluster: Cluster, protocol: int) -> None:
    """They do so in RESP2 and RESP3."""
    await whole_life(f"{cluster_url(cluster)}?protocol={protocol}", cluster.nodes)


async def test_a_cluster_client_of_the_application_serves_and_stays_open(cluster: Cluster) -> None:
    """The workers share tokens through the application's client and do not close it."""
    async with _client(cluster) as client:
        await whole_life(client, cluster.nodes)
        assert await client.ping()


async def test_many_tasks_share_a_few_connections_to_each_node(cluster: Cluster) -> None:
    """A caller waits for a free connection and is not told that Redis is away."""
    store = RedisStore.from_url(cluster_url(cluster))
    swaps = await asyncio.gather(*(put(store, f"crowd-{number}", b"value") for number in range(200)))
    assert swaps == [True] * 200
    assert max(map(strangers, cluster.nodes)) <= 5  # one more for who tells where the slots are
    await store.aclose()


@pytest.mark.parametrize("loss", ["refuses", "is unreachable"])
async def test_a_lost_node_of_the_url_keeps_no_store_from_the_others(cluster: Cluster, loss: str) -> None:
    """The store connects, whichever node of the URL it asks first."""
    with unreachable_port() as dark:
        port = {"refuses": free_ports(1)[0], "is unreachable": dark}[loss]
        url = cluster_url(cluster).replace("//", f"//{HOST}:{port},")
        pauses: list[float] = []

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            await asyncio.sleep(seconds)

        for turn in range(4):  # redis-py shuffles them
            store = RedisStore.from_url(url, sleep=pause)
            assert await put(store, f"{KEY} {loss} {turn}", b"value")
            await store.aclose()
        assert pauses == []  # the first attempt was enough


async def test_all_connections_are_closed_at_the_end(cluster: Cluster) -> None:
    """The store closes them also while its client waits for a node that does not answer."""
    await until(lambda: not any(map(strangers, cluster.nodes)))
    store = RedisStore.from_url(cluster_url(cluster), timeout=0.4)
    assert await value_of(store, KEY) is None
    node = cluster.owner_of(KEY)
    assert strangers(node)
    node.freeze()
    outcome, _ = await timed(value_of(store, KEY))
    assert isinstance(outcome, StoreUnavailableError)
    await store.aclose()
    node.thaw()
    await until(lambda: not any(map(strangers, cluster.nodes)))
    cluster.await_ok()


async def test_connections_to_nodes_that_redis_py_has_forgotten_are_closed_at_the_end(cluster: Cluster) -> None:
    """redis-py replaces its list of nodes when slots move, while calls still use the connections of the old list."""
    await until(lambda: not any(map(strangers, cluster.nodes)))
    store = RedisStore.from_url(cluster_url(cluster))
    assert await value_of(store, KEY) is None
    client, _ = await store._clients.get()
    assert isinstance(client, RedisCluster)
    nodes = dict(client.nodes_manager.nodes_cache)
    for known in (client.nodes_manager.nodes_cache, client.nodes_manager.startup_nodes):
        known.clear()
    assert any(map(strangers, cluster.nodes))
    await store.aclose()
    await until(lambda: not any(map(strangers, cluster.nodes)))
    assert nodes


async def test_a_slot_moves_unnoticed(cluster: Cluster) -> None:
    """Callers see no error, a new worker gets the token, and the move causes no login."""
    async with Sandbox(token_lifetime=60) as steady, Sandbox(token_lifetime=2) as brief, _client(cluster) as theirs:
        redises = (cluster_url(cluster), theirs)
        long_lived, short_lived = [[provider(sandbox, redis) for redis in redises] for sandbox in (steady, brief)]
        async with Callers(*long_lived) as calm, Callers(*short_lived) as busy:
            await calm.hear(100)
            await busy.hear(100)
            for sandbox, callers in ((steady, calm), (brief, busy)):
                callers.generations.add(await _got_while_the_slot_moves(cluster, sandbox))
        assert (calm.errors, busy.errors) == ([], [])
        assert steady.counts["token"] == len(calm.generations) == 1
        # The last login may have come after the last caller.
        assert len(busy.generations) <= brief.counts["token"] <= len(busy.generations) + 1
        for one in (*long_lived, *short_lived):
            await one.aclose()


async def _got_while_the_slot_moves(cluster: Cluster, sandbox: Sandbox) -> int:
    """Return the generation that a new worker gets when the account's record has moved and its slot has not."""
    slot = cluster.slot_of(record_of(sandbox))
    target = cluster.other_than(cluster.owner_of_slot(slot))
    target.ask("SCRIPT", "FLUSH")
    target.ask("CONFIG", "RESETSTAT")
    cold = provider(sandbox, cluster_url(cluster))
    move = asyncio.create_task(asyncio.to_thread(cluster.migrate_slot, slot, target, pause=0.4))
    await until(lambda: bool(target.ask("CLUSTER", "COUNTKEYSINSLOT", slot)))
    token = await cold.get_token()
    assert "asking" in target.commandstats() or move.done()  # on a slow machine the slot may have moved before
    await move
    assert (await cold.look()).proven
    assert target.commandstats()["eval"] > 0  # it did not know the scripts
    await cold.aclose()
    return token.generation


async def test_a_worker_without_a_token_waits_a_bounded_time_while_its_slot_moves(
    cluster: Cluster, sandbox: Sandbox
) -> None:
    """It gets the token, or an error and the token afterwards; the token in hand serves the others.

    redis-py sends ASKING and the command over the connections to a node in turn, so with two it is sent to and fro.
    """
    key = record_of(sandbox)
    slot, target = cluster.slot_of(key), cluster.other_than(cluster.owner_of(key))
    clock = Skip()
    store = RedisStore.from_url(cluster_url(cluster), clock=clock)
    warm, cold = provider(sandbox, cluster_url(cluster), clock=clock), provider(sandbox, store, clock=clock)
    token = await warm.get_token()
    theirs = [name for name in (f"name-{number}" for number in range(100)) if cluster.owner_of(name) is target]
    await asyncio.gather(*(value_of(store, name) for name in theirs[:4]))
    async with Callers(warm) as callers:
        with cluster.migrating(slot, target):
            outcome, took = await timed(cold.get_token())
            assert isinstance(outcome, (Token, StoreUnavailableError))
            assert took < 5
        clock.ahead += 1.5
        assert (await cold.get_token()).reveal() == token.reveal()
    assert callers.errors == []
    assert sandbox.counts["token"] == 1
    for one in (warm, cold):
        await one.aclose()
