"""bespokelabs-curator: an LLM over a list of prompts, its limits out of the way, its cache in a folder that is thrown away."""

import os
import resource
import sys
import tempfile
import time

os.environ |= {"TELEMETRY_ENABLED": "0", "CURATOR_DISABLE_RICH_DISPLAY": "1", "OPENAI_API_KEY": "none"}
FILLER = "some words that make the prompt as long as prompts are " * 11
FREELY = 10**9


def without_network() -> None:
    """Count tokens by bytes where the tables of OpenAI's tokenizer, which curator loads from the network, cannot be had."""
    import tiktoken

    try:
        tiktoken.get_encoding("cl100k_base")
    except OSError:
        ranks = {bytes([byte]): byte for byte in range(256)}
        counter = tiktoken.Encoding("bytes", pat_str=r"\S+|\s+", mergeable_ranks=ranks, special_tokens={})
        tiktoken.get_encoding = tiktoken.encoding_for_model = lambda *_: counter


def processor_seconds() -> list[float]:
    """Of this process, and of those that it started and that have ended."""
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return [one.ru_utime + one.ru_stime for one in used]


def main() -> None:
    """Ask them all."""
    url, width, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    without_network()
    from bespokelabs import curator

    class CompletionClient(curator.LLM):
        def prompt(self, row: dict[str, str]) -> str:
            return row["question"]

        def parse(self, row: dict[str, str], response: str) -> dict[str, str]:
            return {"question": row["question"], "answer": response}

    with tempfile.TemporaryDirectory() as folder:
        asker = CompletionClient(
            model_name="gpt-4o-mini",
            backend="openai",
            backend_params={
                "base_url": url,
                "api_key": "none",
                "max_requests_per_minute": FREELY,
                "max_tokens_per_minute": FREELY,
                "max_concurrent_requests": width,
            },
            generation_params={"temperature": 0.7, "max_tokens": 500},
        )
        rows = [{"question": f"Question {number}: {FILLER}"} for number in range(count)]
        start, used = time.perf_counter(), processor_seconds()
        answered = asker(rows, working_dir=folder)
        seconds = time.perf_counter() - start
        own, children = (1e6 * (now - then) / count for now, then in zip(processor_seconds(), used, strict=True))
    assert len(answered.dataset) == count
    sys.stdout.write(f"\n{count / seconds} {own} {children}\n")


if __name__ == "__main__":
    main()
