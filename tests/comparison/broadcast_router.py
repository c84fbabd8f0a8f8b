"""The broadcast module as a Synapse of today would have it: named users receive every change, but for those of
users who are left out. For the comparison with a real Synapse only."""

from synapse.events.presence_router import PresenceRouter


class BroadcastRouter:
    def __init__(self, config, module_api):
        self.recipients = config["always_send_to_users"]
        self.left_out = set(config["blacklisted_users"])

    @staticmethod
    def parse_config(config):
        return config

    async def get_users_for_states(self, updates):
        told = {update for update in updates if update.user_id not in self.left_out}
        return {recipient: told for recipient in self.recipients}

    async def get_interested_users(self, user_id):
        return PresenceRouter.ALL_USERS if user_id in self.recipients else set()
