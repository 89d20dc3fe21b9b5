"""Python interface of the native runtime: load a model, tokenize, read logits, generate text, chat."""

from phonelm.engine.adapters import AdapterSource, parse_adapter
from phonelm.engine.batch import Completion
from phonelm.engine.chat_template import ChatTemplate
from phonelm.engine.constraint import Constraint
from phonelm.engine.file_warnings import ModelFileWarning
from phonelm.engine.generation import Generation
from phonelm.engine.grammar import Grammar
from phonelm.engine.loading import load, load_tokenizer, resolve
from phonelm.engine.model import Model
from phonelm.engine.sampling import SamplingOptions
from phonelm.engine.session import Session
from phonelm.engine.tokenizer import Tokenizer

__all__ = [
    "AdapterSource",
    "ChatTemplate",
    "Completion",
    "Constraint",
    "Generation",
    "Grammar",
    "Model",
    "ModelFileWarning",
    "SamplingOptions",
    "Session",
    "Tokenizer",
    "load",
    "load_tokenizer",
    "parse_adapter",
    "resolve",
]
