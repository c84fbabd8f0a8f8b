"""The load on an XMPP server: everybody listens, some send. By sockets alone, without a library for XMPP.

All users log in without TLS. A sender broadcasts <presence> with its time in <status>; in a closed loop it sends the
next once every contact has the last, else by a schedule. Prints one JSON object."""

import argparse
import asyncio
import base64
import json
import os
import re
import subprocess
import time

from layouts import SERVER

STAMP = re.compile(rb"<status>t(\d+)\.(\d+)</status>")
# Of a stanza that is not whole yet, at most so much is kept for the next read.
TAIL = 100
ANSWER_SECONDS = 30
STREAM = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
    f"xmlns:stream='http://etherx.jabber.org/streams' to='{SERVER}' version='1.0'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>"


class Bench:
    """One run: what is on its way, and what has arrived in the measured time."""

    def __init__(self, options):
        self.options = options
        self.start = 0
        self.window = (0, 0)
        # By sender: its last stamp, how many have yet to get it, and who waits for that.
        self.pending = {}
        self.sent = 0
        self.latency = []

    async def run(self):
        listeners = [Listener(self, number) for number in range(self.options.users)]
        for listener in listeners:
            await listener.log_in()
        await self.quiet(listeners)
        now = time.perf_counter_ns()
        begin = now + int(self.options.warmup * 1e9)
        self.start = now
        self.window = (begin, begin + int(self.options.duration * 1e9))
        meter = asyncio.create_task(self.meter())
        await asyncio.gather(*(self.send(number, listeners[number]) for number in range(self.options.senders)))
        server_cpu, own_cpu = await meter
        await self.quiet(listeners)
        return self.report(server_cpu, own_cpu)

    async def quiet(self, listeners):
        """Until nothing has arrived for a second; at most a minute."""
        deadline = time.monotonic() + 60
        read = -1
        while read != sum(listener.bytes for listener in listeners) and time.monotonic() < deadline:
            read = sum(listener.bytes for listener in listeners)
            await asyncio.sleep(1)

    async def send(self, number, listener):
        rate = self.options.rate
        count = 0
        while time.perf_counter_ns() < self.window[1]:
            if rate:
                due = self.start + int((count + number / self.options.senders) * self.options.senders / rate * 1e9)
                await asyncio.sleep(max(0, (due - time.perf_counter_ns()) / 1e9))
            stamp = time.perf_counter_ns()
            everybody_has_it = asyncio.get_running_loop().create_future()
            # The sender gets it too.
            self.pending[number] = [stamp, self.options.users, everybody_has_it]
            show = "<show>away</show>" if count % 2 else ""
            listener.write(f"<presence>{show}<status>t{number}.{stamp}</status></presence>")
            count += 1
            self.sent += self.measured(stamp)
            if not rate:
                await asyncio.wait_for(everybody_has_it, ANSWER_SECONDS)

    def measured(self, stamp):
        return self.window[0] <= stamp < self.window[1]

    def arrived(self, sender, stamp, now):
        if self.measured(stamp):
            self.latency.append(now - stamp)
        waited_for = self.pending.get(sender)
        if waited_for and waited_for[0] == stamp:
            waited_for[1] -= 1
            if waited_for[1] == 0 and not waited_for[2].done():
                waited_for[2].set_result(None)

    async def meter(self):
        """CPU seconds of the server and of this program in the measured time."""
        await self.until(self.window[0])
        server, own = cpu_seconds(self.options.pid), time.process_time()
        await self.until(self.window[1])
        return cpu_seconds(self.options.pid) - server, time.process_time() - own

    async def until(self, when):
        await asyncio.sleep(max(0, (when - time.perf_counter_ns()) / 1e9))

    def report(self, server_cpu, own_cpu):
        options = self.options
        delivered = len(self.latency)
        self.latency.sort()
        return {
            "label": "Prosody",
            "server_version": version(),
            "users": options.users,
            "connections": options.senders,
            "offered_rate": options.rate or "closed loop",
            "seconds": options.duration,
            "updates_per_s": round(self.sent / options.duration, 1),
            "deliveries_per_s": round(delivered / options.duration, 1),
            "delivered_of_expected": round(delivered / max(1, self.sent * options.users), 4),
            "delivery_latency": {"p50_ms": self.percentile(0.5), "p99_ms": self.percentile(0.99)},
            "deliveries_per_cpu_s": round(delivered / max(server_cpu, 0.01)),
            "server_cpu_cores": round(server_cpu / options.duration, 3),
            "generator_cpu_cores": round(own_cpu / options.duration, 3),
        }

    def percentile(self, share):
        if not self.latency:
            return None
        return round(self.latency[min(len(self.latency) - 1, int(share * len(self.latency)))] / 1e6, 3)


class Listener:
    """One user, logged in: reads all that comes."""

    def __init__(self, bench, number):
        self.bench = bench
        self.number = number
        self.bytes = 0

    async def log_in(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.bench.options.port, limit=1 << 22)
        plain = base64.b64encode(f"\0u{self.number}\0pw".encode()).decode()
        await self.ask(STREAM, b"</stream:features>")
        await self.ask(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{plain}</auth>", b"<success")
        await self.ask(STREAM, b"</stream:features>")
        await self.ask(BIND, b"</iq>")
        self.task = asyncio.create_task(self.read())
        self.write("<presence/>")

    def write(self, text):
        self.writer.write(text.encode())

    async def ask(self, text, until):
        self.write(text)
        answer = b""
        while until not in answer:
            chunk = await asyncio.wait_for(self.reader.read(65536), ANSWER_SECONDS)
            if not chunk or b"<failure" in chunk:
                raise RuntimeError(f"u{self.number} cannot log in: {answer + chunk!r}")
            answer += chunk

    async def read(self):
        tail = b""
        while chunk := await self.reader.read(1 << 20):
            now = time.perf_counter_ns()
            self.bytes += len(chunk)
            text = tail + chunk
            end = 0
            for match in STAMP.finditer(text):
                end = match.end()
                self.bench.arrived(int(match[1]), int(match[2]), now)
            tail = text[max(end, len(text) - TAIL) :]


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def version():
    asked = ["dpkg-query", "-W", "-f", "${Version}", "prosody"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pid", type=int, required=True, help="of the server")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--senders", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0, help="broadcasts a second; 0 is a closed loop")
    parser.add_argument("--duration", type=float, default=20)
    parser.add_argument("--warmup", type=float, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(Bench(options()).run())))
