"""What a device can do: instruction sets, bandwidth, and the cost of every operator of the runtime."""

from phonelm.profile.conditions import Conditions, Probe, Timed
from phonelm.profile.connection import Device, DeviceError, DeviceGoneError, LocalDevice, open_device
from phonelm.profile.device import Bandwidth, DeviceProfile, MachineInfo, PhaseCosts, machine_info
from phonelm.profile.grid import CostGrid
from phonelm.profile.profile import ProfileConfig, profile_device
from phonelm.profile.tables import CHUNK_TOKENS, PANEL_ROWS

__all__ = [
    "CHUNK_TOKENS",
    "PANEL_ROWS",
    "Bandwidth",
    "Conditions",
    "CostGrid",
    "Device",
    "DeviceError",
    "DeviceGoneError",
    "DeviceProfile",
    "LocalDevice",
    "MachineInfo",
    "PhaseCosts",
    "Probe",
    "ProfileConfig",
    "Timed",
    "machine_info",
    "open_device",
    "profile_device",
]
