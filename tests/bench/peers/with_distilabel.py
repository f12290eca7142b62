"""distilabel: a pipeline of one TextGeneration step, its batches as large as the asks in flight, without its cache."""

import os
import resource
import sys
import time

os.environ |= {"HF_HUB_OFFLINE": "1", "DISTILABEL_LOG_LEVEL": "ERROR"}
FILLER = "some words that make the prompt as long as prompts are " * 11


def processor_seconds() -> list[float]:
    """Of this process, and of those that it started and that have ended."""
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return [one.ru_utime + one.ru_stime for one in used]


def main() -> None:
    """Ask them all."""
    url, width, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration

    rows = [{"instruction": f"Question {number}: {FILLER}"} for number in range(count)]
    with Pipeline(name="rate") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=width)
        llm = OpenAILLM(
            model="m", base_url=url, api_key="none", generation_kwargs={"temperature": 0.7, "max_new_tokens": 500}
        )
        generate = TextGeneration(llm=llm, input_batch_size=width)
        load >> generate
    start, used = time.perf_counter(), processor_seconds()
    answered = pipeline.run(use_cache=False)
    seconds = time.perf_counter() - start
    own, children = (1e6 * (now - then) / count for now, then in zip(processor_seconds(), used, strict=True))
    assert len(answered["default"]["train"]) == count
    sys.stdout.write(f"\n{count / seconds} {own} {children}\n")


if __name__ == "__main__":
    main()
