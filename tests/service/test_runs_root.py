"""Nothing outside the root is opened, whatever a run is called and whatever links there are."""

from pathlib import Path

import pytest

from clairgen.errors import RunError
from clairgen.service.runs_root import RunsRoot
from tests.service.served import made, rows, served

OUTSIDE = [
    "..%2foutside",
    "%2e%2e%2foutside",
    "..",
    ".",
    "first%2f..%2f..%2foutside",
    "%2fetc",
    "..%5coutside",
    "first%00",
    "link",
    "a" * 5000,
]


@pytest.mark.parametrize("name", OUTSIDE)
async def test_a_path_that_leaves_the_root_is_404(tmp_path: Path, name: str) -> None:
    outside = await made(tmp_path, rows(1), "outside")
    await made(tmp_path / "runs", rows(1))
    (tmp_path / "runs" / "link").symlink_to(outside)
    async with served(tmp_path / "runs") as client:
        for path in (f"/api/runs/{name}/pairs", f"/runs/{name}/pairs"):
            answer = await client.get(path)
            assert answer.status_code in (404, 422), (path, answer.text)
            assert "Question" not in answer.text
        assert [one["name"] for one in (await client.get("/api/runs")).json()] == ["first"]


@pytest.mark.parametrize("file", ["run.db", "run.db-wal", "run.log", "lock", "config.yaml"])
async def test_a_file_of_a_run_that_is_a_link_is_not_followed(tmp_path: Path, file: str) -> None:
    run = await made(tmp_path / "runs", rows(1))
    (tmp_path / "secret").write_text("secret")
    (run / file).unlink(missing_ok=True)
    (run / file).symlink_to(tmp_path / "secret")
    async with served(tmp_path / "runs") as client:
        assert (await client.get("/api/runs/first")).status_code == 404
        assert (await client.get("/api/runs")).json() == []
    assert (tmp_path / "secret").read_text() == "secret"


async def test_a_root_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    run = await made(tmp_path / "runs", rows(1))
    refused = {
        tmp_path / "none": "is not a folder",
        run: "is a run directory itself",
        run / "run.db": "is not a folder",
    }
    for path, said in refused.items():
        with pytest.raises(RunError, match=said):
            RunsRoot(path).check()
    RunsRoot(tmp_path / "runs").check()
