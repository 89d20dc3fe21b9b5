"""Where a search's profiles come from: files, this machine, or a device behind adb or ssh."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonelm.devices import Device
    from phonelm.profile import DeviceProfile
    from phonelm.progress import Progress
    from phonelm.search import SearchConfig


@dataclass(frozen=True)
class Source:
    """What `--device` says: names of files, or one device."""

    names: Sequence[str]
    program: Path | None
    """phonelm-cli for a device without Python."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[Device | None]:
        """The connected device, None for files. Raises `ValueError` for files and a device together."""
        from phonelm.devices import open_device

        devices = [name for name in self.names if _is_device(name)]
        if not devices:
            yield None
            return
        if len(self.names) > 1:
            raise ValueError(f"--device {devices[0]} stands alone; leave out the others")
        with open_device(devices[0], self.program) as connected:
            yield connected

    def profiles(
        self, connected: Device | None, config: SearchConfig, progress: Progress
    ) -> list[DeviceProfile]:
        """Those of the files, else the device's with each pair of types that the space has."""
        from phonelm.profile import DeviceProfile, ProfileConfig, profile_device

        if connected is None:
            return [DeviceProfile.load(name) for name in self.names]
        pairs = [types.split("/") for types in dict.fromkeys(config.narrowed_space.types)]
        return [
            profile_device(
                ProfileConfig.model_validate({"quick": False, "block_type": block, "head_type": head}),
                device=connected,
                progress=progress,
            )
            for block, head in pairs
        ]


def _is_device(name: str) -> bool:
    return name in ("local", "adb") or name.startswith(("adb:", "ssh:"))
