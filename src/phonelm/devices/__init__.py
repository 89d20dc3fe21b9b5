"""Machines that are measured: this one, a phone behind adb, a board behind ssh; one interface for all."""

from phonelm.devices.connection import Device, DeviceError, DeviceGoneError, LocalDevice
from phonelm.devices.machine import MachineInfo, kernels_fingerprint, machine_info, machine_record
from phonelm.devices.opening import open_device

__all__ = [
    "Device",
    "DeviceError",
    "DeviceGoneError",
    "LocalDevice",
    "MachineInfo",
    "kernels_fingerprint",
    "machine_info",
    "machine_record",
    "open_device",
]
