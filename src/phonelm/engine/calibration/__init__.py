"""Quantization that knows what a model's matrices read: importance, and errors made good."""

from phonelm.engine.calibration.quantizing import CalibrationOptions, quantize_calibrated

__all__ = ["CalibrationOptions", "quantize_calibrated"]
