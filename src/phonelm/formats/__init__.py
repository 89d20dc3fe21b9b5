"""GGUF and Hugging Face safetensors, in and out; quantization."""

from phonelm.formats.convert import convert_checkpoint
from phonelm.formats.convert_adapter import AdapterBase, convert_adapter
from phonelm.formats.gguf_outline import read_gguf_config
from phonelm.formats.gguf_writer import LazyTensor, QuantizedTensor, write_gguf
from phonelm.formats.hf_config import config_from_hf, config_to_hf
from phonelm.formats.import_gguf import import_gguf
from phonelm.formats.mixtures import default_embedding_type
from phonelm.formats.quantization import TENSOR_TYPES, dequantize, quantize
from phonelm.formats.random_gguf import write_random_gguf
from phonelm.formats.requantize import requantize_gguf

__all__ = [
    "TENSOR_TYPES",
    "AdapterBase",
    "LazyTensor",
    "QuantizedTensor",
    "config_from_hf",
    "config_to_hf",
    "convert_adapter",
    "convert_checkpoint",
    "default_embedding_type",
    "dequantize",
    "import_gguf",
    "quantize",
    "read_gguf_config",
    "requantize_gguf",
    "write_gguf",
    "write_random_gguf",
]
