"""A store over a cluster does what every store has to do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest
from stores.stores import cluster_url

from enkash_async.stores import RedisStore, Store
from enkash_async.testing import StoreContract

from servers import Cluster, running_cluster


@pytest.fixture(scope="module")
def cluster(flavour: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(flavour, tmp_path_factory.mktemp(flavour)) as made:
        yield made


class TestRedisStoreOnACluster(StoreContract):
    @pytest.fixture
    def opener(self, cluster: Cluster) -> Callable[[], Store]:
        # A node on a machine whose disk or processors are busy with other tests may take longer than the usual second;
        # a swap without an answer counts as unanswered here, and the contract is about answers.
        return functools.partial(RedisStore.from_url, cluster_url(cluster), timeout=5.0)

    @pytest.fixture
    def store(self, opener: Callable[[], Store]) -> Store:
        return opener()
