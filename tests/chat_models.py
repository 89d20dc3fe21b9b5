"""Models with chat templates of the tests' own."""

from __future__ import annotations

from pathlib import Path

import gguf

CHATTY = "{% for m in messages %}[{{ m.role[0] }}]{{ m.content }}{% endfor %}[a]"
"""Shows every message, in few tokens."""


def write_with_template(model: Path, out: Path, template: str) -> Path:
    """Copy a model and give it a chat template."""
    reader = gguf.GGUFReader(model)
    writer = gguf.GGUFWriter(out, "unused")
    for name, field in reader.fields.items():
        value = field.contents()
        # Empty lists are left out: the package cannot write them.
        if name != "general.architecture" and not name.startswith("GGUF.") and value != []:
            element = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(name, value, field.types[0], element)
    writer.kv_data[0]["general.architecture"].value = reader.fields["general.architecture"].contents()
    writer.add_chat_template(template)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out
