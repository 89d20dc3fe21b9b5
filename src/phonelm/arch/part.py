"""What the parts of a decoder have in common, and the tensors that they count themselves by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from phonelm.ranges import INT32_MAX

Role = Literal["embedding", "position", "head", "matrix", "vector", "constant"]


class _SizeMark:
    """Marks a field as a size: it has no neutral value."""


SIZE = _SizeMark()
Size = Annotated[int, Field(gt=0, le=INT32_MAX), SIZE]


class Part(BaseModel):
    """A frozen part of a decoder's description.

    A part made by `model_construct` may hold numpy arrays as sizes; its formulas then count many shapes at
    once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, validated: an unknown field or a wrong value is a `ValueError`."""
        if not update:
            return super().model_copy(deep=deep)
        return type(self).model_validate({**dict(self), **update})


@dataclass(frozen=True, slots=True)
class TensorShape:
    """One tensor: GGUF name, shape (rows, columns) or (length,), and what it is for.

    `head` is the untied output matrix, `matrix` any other weight of a matrix product, `vector` a norm or
    bias, `constant` what is no parameter.
    """

    name: str
    shape: tuple[int, ...]
    role: Role

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.shape[0] * (self.shape[1] if len(self.shape) == 2 else 1)


def linear(name: str, rows: int, columns: int, biased: bool) -> Iterator[TensorShape]:
    """The weight of a matrix product, and its bias."""
    yield TensorShape(f"{name}.weight", (rows, columns), "matrix")
    if biased:
        yield TensorShape(f"{name}.bias", (rows,), "vector")
