"""What a device can do: instruction sets, bandwidth, and the cost of every operator of the runtime."""

from phonelm.profile.device import Bandwidth, DeviceProfile, MachineInfo, PhaseCosts, machine_info
from phonelm.profile.grid import CostGrid
from phonelm.profile.operators import PANEL_ROWS
from phonelm.profile.profile import ProfileConfig, profile_device

__all__ = [
    "PANEL_ROWS",
    "Bandwidth",
    "CostGrid",
    "DeviceProfile",
    "MachineInfo",
    "PhaseCosts",
    "ProfileConfig",
    "machine_info",
    "profile_device",
]
