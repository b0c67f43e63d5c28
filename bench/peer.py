"""client_python serving what Headway serves: the same families of so many running processes, by its own HTTP server.

    python -m bench.peer PORT PROCESSES

Started by bench.scrape as a peer. A thread gives all processes new figures every two seconds, as a sampler would.
"""

from __future__ import annotations

import sys
import time

from bench.exposition import Peer, World
from prometheus_client import start_http_server


def main(port: int, processes: int) -> None:
    world = World(processes, 0, 50, 1)
    start_http_server(port, addr="127.0.0.1", registry=Peer(world).registry)
    while True:
        time.sleep(2)
        world.tick()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
