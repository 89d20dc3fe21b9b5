"""What a device can do: instruction sets, bandwidth, and the cost of every operator of the runtime."""

from phonelm.profile.conditions import Conditions, Probe, Timed
from phonelm.profile.device import Bandwidth, DeviceProfile, PhaseCosts
from phonelm.profile.grid import CostGrid
from phonelm.profile.profile import ProfileConfig, profile_device

__all__ = [
    "Bandwidth",
    "Conditions",
    "CostGrid",
    "DeviceProfile",
    "PhaseCosts",
    "Probe",
    "ProfileConfig",
    "Timed",
    "profile_device",
]
