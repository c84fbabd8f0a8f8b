"""Who is there, and who shares a room with whom: the same for every server that is measured."""

from dataclasses import dataclass

SERVER = "example.org"


@dataclass(frozen=True)
class Layout:
    """`users` people, spread evenly over `rooms` rooms."""

    name: str
    users: int
    rooms: int

    def user_ids(self):
        return [f"@{self.name}-{n}:{SERVER}" for n in range(self.users)]

    def room_of(self, n):
        """The number of the room that the user with the number `n` is in."""
        return n * self.rooms // self.users

    def members(self):
        """The user ids of each room."""
        rooms = [[] for _ in range(self.rooms)]
        for n, user_id in enumerate(self.user_ids()):
            rooms[self.room_of(n)].append(user_id)
        return rooms


TENS = Layout("ten", users=200, rooms=20)
HALL = Layout("hall", users=200, rooms=1)
# 200 who listen, and 16 who write.
FAN = Layout("fan", users=216, rooms=1)
ALL = (TENS, HALL, FAN)

AUDIENCE = 1000


def observers(count):
    """The users to whom the module sends everybody's presence."""
    return [f"@observer-{n}:{SERVER}" for n in range(count)]


def localpart(user_id):
    return user_id[1:].split(":", 1)[0]


def targets(base_url, tokens, layout, observers=()):
    """What the load program reads: users, their tokens, who sees whom. Observers are listed when they are to sync."""
    users = [
        {"user_id": user_id, "token": tokens[user_id], "rooms": [layout.room_of(n)], "role": "user"}
        for n, user_id in enumerate(layout.user_ids())
    ]
    users += [{"user_id": user_id, "token": tokens[user_id], "rooms": [], "role": "observer"} for user_id in observers]
    return {"base_url": base_url, "users": users}
