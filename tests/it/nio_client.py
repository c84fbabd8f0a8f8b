"""Clients made with matrix-nio: alice sets her presence, others learn of it through nio's own callbacks.

Prints one JSON object: what each of them saw. Ends with 1, and says why, when something is not as it should be.
"""

import asyncio
import json
import sys

from nio import AsyncClient, PresenceEvent, PresenceGetResponse, PresenceSetResponse, SyncResponse, WhoamiResponse

DEADLINE = 40  # seconds, for all of it


class Reader:
    """A user who syncs, and notes what the callback is given."""

    def __init__(self, url, name):
        self.client = connect(url, name)
        self.seen = []
        self.client.add_presence_callback(self.note, PresenceEvent)

    async def note(self, event):
        self.seen.append([event.user_id, event.presence, event.status_msg])

    async def sync(self, timeout):
        answer = await self.client.sync(timeout=timeout, set_presence="offline")
        expect(answer, SyncResponse)

    async def sync_until(self, wanted):
        while wanted not in self.seen:
            await self.sync(timeout=5000)


def connect(url, name):
    client = AsyncClient(url, f"@{name}:example.org")
    client.user_id = client.user
    client.access_token = f"{name}-token"
    client.device_id = "NIO"
    return client


def expect(answer, kind):
    if not isinstance(answer, kind):
        raise SystemExit(f"expected {kind.__name__}, got {answer!r}")
    return answer


async def main(url):
    alice = connect(url, "alice")
    readers = {name: Reader(url, name) for name in ["bob", "presence_gobbler", "carol"]}
    try:
        who = expect(await alice.whoami(), WhoamiResponse)
        for reader in readers.values():
            await reader.sync(timeout=0)
        expect(await alice.set_presence("online", "hello from nio"), PresenceSetResponse)
        online = ["@alice:example.org", "online", "hello from nio"]
        await readers["bob"].sync_until(online)
        await readers["presence_gobbler"].sync_until(online)
        expect(await alice.set_presence("unavailable"), PresenceSetResponse)
        await readers["bob"].sync_until(["@alice:example.org", "unavailable", None])
        await readers["carol"].sync(timeout=0)
        got = expect(await readers["bob"].client.get_presence("@alice:example.org"), PresenceGetResponse)
        seen = {name: reader.seen for name, reader in readers.items()}
        print(json.dumps({"whoami": who.user_id, "seen": seen, "got": got.presence}))
    finally:
        for client in [alice, *(reader.client for reader in readers.values())]:
            await client.close()


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(main(sys.argv[1]), DEADLINE))
