"""`python -m deploy.kafka fetch` gets the jars and a schema registry; `run` starts a node, until interrupted."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from deploy.kafka import registry
from deploy.kafka.node import Node, fetch


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka", description=__doc__)
    parser.add_argument("command", choices=["fetch", "run"])
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--dir", type=Path, help="where the log goes (default: a folder that is removed at the end)")
    arguments = parser.parse_args()
    fetch()
    if arguments.command == "fetch":
        if registry.find_java() is None:
            print(f"no schema registry is fetched, as its tests cannot run here: {registry.REMEDY}", file=sys.stderr)
        else:
            registry.fetch()
        return
    for s in (signal.SIGINT, signal.SIGTERM):  # a script's background job starts with SIGINT ignored
        signal.signal(s, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        node = Node(arguments.dir or Path(folder), port=arguments.port, short_lived=False)
        try:
            node.start()
            print(f"Apache Kafka listens on {node.bootstrap}; Ctrl-C ends it", flush=True)
            node.wait()
        except KeyboardInterrupt:
            pass
        finally:
            node.stop()


if __name__ == "__main__":
    main()
