"""Words of messages."""


def counted(count: int, one: str, many: str) -> str:
    """A number of things: "1 epoch", "2 epochs"."""
    return f"{count} {one if count == 1 else many}"
