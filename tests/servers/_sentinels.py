"""A primary and a replica, watched by three real sentinels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from servers._server import HOST, Server, running, wait_until

#: How the sentinels call the primary.
SERVICE = "enkash"


class SentinelSet:
    """A primary, its replica, and three sentinels that watch both as `SERVICE`.

    A failover swaps `primary` and `replica`: the one that was killed is `replica` then, and may be restarted.
    """

    def __init__(self, primary: Server, replica: Server, watchers: list[Server]) -> None:
        self.primary = primary
        self.replica = replica
        self.watchers = watchers

    @property
    def service(self) -> str:
        return SERVICE

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """Where the sentinels are, as `redis.asyncio.Sentinel` takes them."""
        return [(HOST, watcher.port) for watcher in self.watchers]

    def master_port(self) -> int:
        """The primary's port as most of the sentinels say."""
        ports = self._said_ports()
        return max(ports, key=ports.count)

    def await_known(self, limit: float = 20) -> None:
        """Wait until every sentinel knows the others and could promote the replica."""
        wait_until(lambda: all(map(self._knows_all, self.watchers)), limit, "sentinels know each other and the replica")

    def kill_primary_and_wait(self, limit: float = 30) -> None:
        """Kill the primary; wait until every sentinel names the replica instead, and that takes writes."""
        self.primary.kill()
        self.primary, self.replica = self.replica, self.primary
        wait_until(self._agreed, limit, "the sentinels promoted the replica")

    def _agreed(self) -> bool:
        # A write is the proof: the replica is promoted before the sentinels say so, yet refuses until it heard of it.
        return set(self._said_ports()) == {self.primary.port} and bool(self.primary.ask("DEL", "{harness}:none") == 0)

    def _said_ports(self) -> list[int]:
        return [
            int(watcher.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
            for watcher in self.watchers
            if watcher.alive
        ]

    def _knows_all(self, watcher: Server) -> bool:
        replicas = [_pairs(each) for each in watcher.ask("SENTINEL", "REPLICAS", SERVICE)]
        others = [_pairs(each) for each in watcher.ask("SENTINEL", "SENTINELS", SERVICE)]
        ready = [each for each in replicas if each["flags"] == "slave" and each["master-link-status"] == "ok"]
        reachable = [each for each in others if each["flags"] == "sentinel"]
        return len(ready) == 1 and len(reachable) == len(self.watchers) - 1


def _pairs(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _hurry(watcher: Server) -> None:
    """Make a sentinel look around five times a second, not once in up to ten seconds.

    A busy machine may also stall it so long that it mistrusts its clock; it then sits still for one second, not thirty.
    """
    with suppress(redis.ResponseError):  # an older server knows no SENTINEL DEBUG, and only takes longer
        periods = ("info-period", "ping-period", "ask-period", "publish-period")
        watcher.ask("SENTINEL", "DEBUG", *(word for name in periods for word in (name, 200)), "tilt-period", 1000)


@contextmanager
def running_sentinels(flavour: str, folder: Path, *config: str) -> Iterator[SentinelSet]:
    """A primary, a replica and three sentinels; the further configuration is the primary's and the replica's."""
    with ExitStack() as stack:
        primary = stack.enter_context(running(flavour, folder / "p", *config))
        replica = stack.enter_context(running(flavour, folder / "r", f"replicaof {HOST} {primary.port}", *config))
        wait_until(lambda: replica.info("replication")["master_link_status"] == "up", 20, "the replica has its data")
        lines = (
            f"sentinel monitor {SERVICE} {HOST} {primary.port} 2",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 2000",
        )
        watchers = [stack.enter_context(running(flavour, folder / f"s{i}", *lines, mode="sentinel")) for i in range(3)]
        for watcher in watchers:
            _hurry(watcher)
        made = SentinelSet(primary, replica, watchers)
        made.await_known()
        yield made
