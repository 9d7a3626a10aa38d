"""The warnings of a client whose service is away, and comes back; both clients."""

from __future__ import annotations

import logging

import pytest
from callers import MakeCaller, Recorder, gives, never_called, until
from fake_service import FakeService, hit, unavailable

from dibs import ServiceError


async def test_each_change_is_logged_once(
    fake: FakeService, make: MakeCaller, caplog: pytest.LogCaptureFixture
) -> None:
    caller = make(hooks=Recorder())
    with caplog.at_level(logging.WARNING, "dibs"):
        for answer in (unavailable(), hit(b"v"), unavailable()):
            fake.will("GetOrLock", answer)
            for at in range(3):
                await caller.get(f"{at}", gives(b"v"))
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    assert f"the service at {fake.target} cannot be reached" in said[0]
    assert said[1] == f"the service at {fake.target} answers again"
    await until(lambda: True)


@pytest.mark.parametrize("reads", [False, True])
async def test_each_change_is_logged_also_where_callers_want_no_local_rebuild(
    fake: FakeService, make: MakeCaller, caplog: pytest.LogCaptureFixture, reads: bool
) -> None:
    caller = make(on_unavailable="fail")
    with caplog.at_level(logging.WARNING, "dibs"):
        fake.will("GetOrLock", unavailable())
        for _ in range(2):
            with pytest.raises(ServiceError):
                await (caller.find("k") if reads else caller.get("k", never_called))
        fake.will("GetOrLock", hit(b"v"))
        await caller.get("k", never_called)
    said = [record.message for record in caplog.records]
    assert len(said) == 2
    assert f"the service at {fake.target} cannot be reached" in said[0]
    assert "or fails if on_unavailable says so" in said[0]
    assert said[1] == f"the service at {fake.target} answers again"
