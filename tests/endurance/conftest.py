"""What the tests of endurance share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from contract.house import build

from endurance.torture import Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A cinema with a hall and one showing; its box is put away at the end."""
    stage = Stage.build(build(tmp_path), tmp_path / "cinema", 1)
    yield stage
    if stage.box is not None:
        await stage.box.put_away()
