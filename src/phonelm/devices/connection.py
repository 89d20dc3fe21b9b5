"""Devices whose operators are measured by lines of text: this machine, or one behind adb or ssh."""

from __future__ import annotations

import abc
from types import TracebackType

from phonelm.devices.machine import MachineInfo, kernels_fingerprint, machine_info


class DeviceError(ValueError):
    """A device that cannot be used; says what to do next."""


class DeviceGoneError(DeviceError):
    """A device that went away while it was used."""


class Device(abc.ABC):
    """A machine that is asked; a context manager that ends the connection."""

    name: str
    """As `open_device` takes it."""
    kernels: str
    """Hash of what is measured: the native module, or the program on the device."""

    @abc.abstractmethod
    def machine(self) -> MachineInfo:
        """Describe the device."""

    @abc.abstractmethod
    def ask(self, request: str) -> str:
        """Return the answer, one line, to a request of the measuring protocol (`native/bench/protocol.h`).

        What is wrong with the request is an answer too: "error: ...". Raises `DeviceGoneError`.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """End the connection; may be called twice."""

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalDevice(Device):
    """This machine, measured in this process."""

    name = "local"

    def __init__(self) -> None:
        from phonelm import _native

        self.kernels = kernels_fingerprint()
        self._bench = _native.OperatorBench()

    def machine(self) -> MachineInfo:
        """Describe this machine."""
        return machine_info()

    def ask(self, request: str) -> str:
        """Measure here and now."""
        return self._bench.answer(request)

    def close(self) -> None:
        """Nothing is open."""
