import dibs

with dibs.Client() as client:  # DIBS_TARGET, else 127.0.0.1:50051

    @client.cached(key="user:{id}", ttl=60, stale_ttl=600)
    def user(id: int) -> dict[str, str]:
        return {"name": "Ada"}  # your database

    print(user(42)["name"])
