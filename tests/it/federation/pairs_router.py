"""What our module `pairs` does, for a Synapse of today: `sees` says who sees whom, beyond shared rooms."""


class PairsRouter:
    def __init__(self, config, module_api):
        self.sees = {viewer: set(seen) for viewer, seen in config["sees"].items()}

    @staticmethod
    def parse_config(config):
        return config

    async def get_users_for_states(self, updates):
        updates = list(updates)
        routes = {}
        for viewer, seen in self.sees.items():
            shown = {update for update in updates if update.user_id in seen}
            if shown:
                routes[viewer] = shown
        return routes

    async def get_interested_users(self, user_id):
        return self.sees.get(user_id, set())
