# SPDX-License-Identifier: Apache-2.0
"""An asyncio application: tasks that send a group of records and await every one, as fast as that goes."""

import asyncio
import time
from typing import Protocol, cast

from benchmarks.compare import usage
from benchmarks.compare.clients.client import TIMEOUT, Client
from benchmarks.compare.clients.counting_loop import CountingLoop
from benchmarks.compare.job import Figures, Job


class Awaited(Protocol):
    """What a client offers beside `Client`."""

    loop: CountingLoop

    async def deliver(self, count: int) -> None: ...


def run(client: Client, job: Job) -> Figures:
    """params["tasks"] tasks, params["group"] records at a time; wake-ups are calls into the loop from other threads."""
    awaited = cast(Awaited, client)
    sent = deliver_for(awaited, job, job.warmup_seconds)
    before = awaited.loop.calls_from_threads
    window = usage.Window(job.broker_pids)
    measured = deliver_for(awaited, job, job.seconds)
    figures = window.close(measured)
    figures["wakeups_per_record"] = (awaited.loop.calls_from_threads - before) / measured
    figures["sent_total"] = float(sent + measured)
    return figures


def deliver_for(client: Awaited, job: Job, seconds: float) -> int:
    """Returns the number of records, all of them acknowledged."""
    group, tasks = int(job.params["group"]), int(job.params["tasks"])
    deadline = time.perf_counter() + seconds

    async def work() -> int:
        sent = 0
        while time.perf_counter() < deadline or not sent:
            await client.deliver(group)
            sent += group
        return sent

    async def all_work() -> int:
        return sum(await asyncio.wait_for(asyncio.gather(*(work() for _ in range(tasks))), seconds + TIMEOUT))

    return client.loop.run_until_complete(all_work())
