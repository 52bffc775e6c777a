# SPDX-License-Identifier: Apache-2.0
"""`python -m tools.soak`: millions of records through dozens of kill -9, and the audit of every one of them.

    python -m tools.soak --records 10000000 --kills 50 --json benchmarks/results/soak/DATE.json
    SOAK_SEED=7 python -m tools.soak --client confluent-kafka --records 300000 --kills 5
"""

import argparse
import contextlib
import json
import os
import random
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import machine
from tools.brokers import maven
from tools.brokers.kafka import KafkaCluster
from tools.relay import Relay
from tools.soak.clients import CLIENTS
from tools.soak.faults import PROPERTIES
from tools.soak.trial import Plan, run

MAX_GROWTH = 8_000_000
COMPRESSION = {"pykafka_fast": "compression_type", "confluent-kafka": "compression.type"}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000_000, help="at least so many")
    parser.add_argument("--kills", type=int, default=50, help="at least so many")
    parser.add_argument("--rate", type=float, default=12_000, help="records a second")
    parser.add_argument("--client", choices=CLIENTS, default="pykafka_fast")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--compression", choices=["gzip", "snappy", "lz4", "zstd"], help="of its batches")
    parser.add_argument("--relay", action="store_true", help="through a relay that misbehaves all the time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there")
    return parser.parse_args()


def main() -> int:
    args = parse()
    seed = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"SOAK_SEED={seed}", flush=True)
    began = datetime.now(timezone.utc)
    options = {COMPRESSION[args.client]: args.compression} if args.compression else {}
    plan = Plan(args.records, args.kills, args.rate, seed, args.client, args.partitions, args.threads, options)
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(Relay()) if args.relay else None
        advertise = relay.open if relay else None
        cluster = stack.enter_context(KafkaCluster(nodes=3, properties=PROPERTIES, advertise=advertise))
        cluster.create_topic("soak", plan.partitions)
        result = run(plan, cluster, "soak", relay, lambda line: print(line, flush=True))
    if result.rss_growth > MAX_GROWTH:
        result.problems.append(f"the client grew by {result.rss_growth} bytes: {result.rss_by_tenth}")
    print(*result.problems, result.line(), sep="\n", flush=True)
    if args.json is not None:
        command = f"SOAK_SEED={seed} python -m tools.soak {shlex.join(sys.argv[1:])}"
        head = {"date": began.isoformat(timespec="seconds"), "command": command, "machine": machine.describe()}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({**head, "line": result.line(), **result.as_json()}, indent=1) + "\n")
    return 1 if result.problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except maven.MissingTool as error:
        raise SystemExit(str(error)) from None
