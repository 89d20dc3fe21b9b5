"""Quantization that knows what a model's matrices read: importance, and errors made good."""

from phonelm.engine.calibration.quantizing import Calibration, CalibrationOptions, quantize_calibrated

__all__ = ["Calibration", "CalibrationOptions", "quantize_calibrated"]
