"""The survey's runtime study: every small language model that the runtime can build, at its true shape."""

from phonelm.bench.suite.entries import Entry, Selection, select
from phonelm.bench.suite.result import PromptTiming, SuiteRow, shape_of
from phonelm.bench.suite.run import SuiteOptions, default_path, run_suite
from phonelm.bench.suite.store import Device, choose_device, devices_of, read_rows

__all__ = [
    "Device",
    "Entry",
    "PromptTiming",
    "Selection",
    "SuiteOptions",
    "SuiteRow",
    "choose_device",
    "default_path",
    "devices_of",
    "read_rows",
    "run_suite",
    "select",
    "shape_of",
]
