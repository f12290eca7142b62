"""Which tasks are held out: decided by the task's id alone, so that no task is ever on both sides."""

from hashlib import blake2b


def is_test(task_id: str, fraction: float, seed: int = 0) -> bool:
    """Whether a task belongs to the test split; the same answer for every recipe, format and run.

    A larger fraction keeps the tasks of a smaller one.
    """
    digest = blake2b(f"{seed}:{task_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) < fraction * 2**64
