"""Measures what the plots show: throughput against connections, latency against load, memory against users."""

import sqlite3
import time

import layouts
from load import delivery_p99, put, put_p99
from processes import resident_mib
from results import Report, Table
from servers import ours
from synapse import synapse

CONNECTIONS = (1, 4, 16, 64)
OUR_RATES = (24, 60, 120, 240, 480, 960)
SYNAPSE_RATES = (3, 6, 12, 18, 24)
USERS = (1_000, 10_000, 100_000)
# By when Synapse has read what it starts with; its first timeouts come 30 s after the start.
SETTLED_SECONDS = 5


def curves(work):
    """No bar: the figures behind the plots, in the tables of the report."""
    report = Report()
    with ours(work, audience=1) as mine, synapse(work, audience=1) as other:
        for server in (mine, other):
            put(work, server, layouts.TENS, 16, seconds=3)
        report.tables.append(_throughput(work, report, (mine, other)))
        report.tables.append(_latency(work, report, ((mine, OUR_RATES), (other, SYNAPSE_RATES))))
    report.tables.append(_memory(work))
    report.notes.append(
        "Memory is that of the process with so many users who have presence, while nothing happens. Ours has them "
        "with their tokens, in rooms of 10, and each has set presence. In Synapse's database they have presence alone: "
        "it has cached nothing else of them."
    )
    return report


def _throughput(work, report, servers):
    table = Table(
        "Throughput against connections: closed loop, 20 rooms of 10, broadcast on",
        ["server", "connections", "updates/s", "PUT p99 ms"],
        [],
    )
    for server in servers:
        for connections in CONNECTIONS:
            run = put(work, server, layouts.TENS, connections, seconds=3)
            report.runs.append(run)
            table.rows.append([server.name, connections, run["updates_per_s"], put_p99(run)])
    return table


def _latency(work, report, servers):
    table = Table(
        "Latency against load: 50 syncers in a room of 200, 16 connections",
        ["server", "updates/s", "deliveries/s", "update to delivery p99 ms", "PUT p99 ms"],
        [],
    )
    for server, rates in servers:
        for rate in rates:
            run = put(work, server, layouts.HALL, 16, seconds=4, warmup=2, rate=rate, syncers=50)
            report.runs.append(run)
            row = [server.name, rate, run["sync"]["deliveries_per_s"], delivery_p99(run), put_p99(run)]
            table.rows.append(row)
    return table


def _memory(work):
    table = Table("Memory against users", ["server", "users", "resident MiB"], [])
    for users in USERS:
        layout = layouts.Layout("many", users=users, rooms=users // 10)
        with ours(work, audience=1, measured=(layout,)) as server:
            # Twice around, at the least rate that ours is to reach.
            put(work, server, layout, 64, seconds=1, warmup=1 + users / 10_000)
            table.rows.append([server.name, users, resident_mib(server.pid)])
    for users in USERS:
        with synapse(work, audience=1, change=lambda database, users=users: _give_presence(database, users)) as server:
            time.sleep(SETTLED_SECONDS)
            table.rows.append([server.name, users, resident_mib(server.pid)])
    return table


def _give_presence(database, users):
    """Has Synapse find so many users online when it starts."""
    now = int(time.time() * 1000)
    rows = (
        (n + 1_000_000, f"@many-{n}:{layouts.SERVER}", "online", now, now, now, "hello", 1, "master")
        for n in range(users)
    )
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("DELETE FROM presence_stream")
        connection.executemany(
            "INSERT INTO presence_stream (stream_id, user_id, state, last_active_ts, last_federation_update_ts,"
            " last_user_sync_ts, status_msg, currently_active, instance_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    connection.close()
