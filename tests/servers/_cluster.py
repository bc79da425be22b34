"""A cluster of three real servers, whose slots can be moved."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis.crc import key_slot

from servers._server import HOST, Server, running, wait_until


class Cluster:
    """Primaries that share the slots, without replicas."""

    def __init__(self, nodes: list[Server]) -> None:
        self.nodes = nodes

    @property
    def ports(self) -> list[int]:
        return [node.port for node in self.nodes]

    @property
    def url(self) -> str:
        """The URL of the first node."""
        return self.nodes[0].url

    @staticmethod
    def slot_of(key: str) -> int:
        """The slot of a key, or of the text that it has in braces."""
        return int(key_slot(key.encode()))

    def owner_of(self, key: str) -> Server:
        """The node that serves the key."""
        return self.owner_of_slot(self.slot_of(key))

    def owner_of_slot(self, slot: int) -> Server:
        """The node that serves the slot, as the first node that runs says."""
        asked = next(node for node in self.nodes if node.alive)
        ranges = asked.ask("CLUSTER", "SLOTS")
        port = next(entry[2][1] for entry in ranges if entry[0] <= slot <= entry[1])
        return next(node for node in self.nodes if node.port == port)

    def other_than(self, server: Server) -> Server:
        """A node other than the given one."""
        return next(node for node in self.nodes if node is not server)

    def form(self) -> None:
        """Share the slots, make the nodes known to each other, and wait until they are one cluster."""
        first, *others = self.nodes
        bounds = [16384 * number // len(self.nodes) for number in range(len(self.nodes) + 1)]
        for number, node in enumerate(self.nodes):
            # Equal epochs would have to be settled between the nodes first.
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for node in others:
            first.ask("CLUSTER", "MEET", HOST, node.port, node.bus_port)
        self.await_ok()

    def await_ok(self, limit: float = 20) -> None:
        """Wait until every node knows all the others and finds the cluster whole."""
        wait_until(lambda: all(self._finds_whole(node) for node in self.nodes), limit, "cluster_state:ok on all nodes")

    def _finds_whole(self, node: Server) -> bool:
        lines = node.ask("CLUSTER", "INFO").split()
        return "cluster_state:ok" in lines and f"cluster_known_nodes:{len(self.nodes)}" in lines

    def migrate_slot(self, slot: int, to: Server, pause: float = 0.0) -> None:
        """Move a slot with its keys while the cluster runs, as redis-cli does; `pause` is in the middle of the keys."""
        with self.migrating(slot, to):
            time.sleep(pause)

    @contextmanager
    def migrating(self, slot: int, to: Server) -> Iterator[None]:
        """Move a slot with its keys; the block runs when half of them (the first of an odd number too) have moved.

        Meanwhile the old owner answers ASK for a key it no longer has, and TRYAGAIN for several keys of which it
        has some.
        """
        source = self.owner_of_slot(slot)
        source_id, target_id = source.ask("CLUSTER", "MYID"), to.ask("CLUSTER", "MYID")
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        self._move_keys(slot, source, to, (source.ask("CLUSTER", "COUNTKEYSINSLOT", slot) + 1) // 2)
        try:
            yield
        finally:
            while left := source.ask("CLUSTER", "COUNTKEYSINSLOT", slot):
                self._move_keys(slot, source, to, left)
            rest = [node for node in self.nodes if node not in {to, source} and node.alive]
            # The new owner learns it first: else the slot would for a moment have none.
            for node in [to, source, *rest]:
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    @staticmethod
    def _move_keys(slot: int, source: Server, to: Server, number: int) -> None:
        for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, number):
            source.ask("MIGRATE", HOST, to.port, "", 0, 5000, "KEYS", key)


@contextmanager
def running_cluster(flavour: str, folder: Path, *config: str) -> Iterator[Cluster]:
    """Three primaries that share the slots."""
    lines = ("cluster-node-timeout 1000", *config)
    with ExitStack() as stack:
        cluster = Cluster(
            [stack.enter_context(running(flavour, folder / f"n{i}", *lines, mode="cluster")) for i in range(3)]
        )
        cluster.form()
        yield cluster
