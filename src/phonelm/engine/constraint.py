"""What decides which tokens may come next: the hook that a grammar drives, or anything else that knows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A string: without a grammar a text is generated before numpy could be imported.
TokenMask: TypeAlias = "NDArray[np.uint32]"
"""One bit per token: bit t % 32 of word t // 32 says whether token t may come next."""


class Constraint(Protocol):
    """The state of one answer under a rule.

    Generation calls `fill_mask` before a token is chosen and `accept` after; a token of which the model ends
    its answer (`Tokenizer.stop_ids`) is never accepted, but must be in the mask exactly when the answer may
    end. A mask without a token ends the answer with the finish reason "constraint".
    """

    @property
    def is_finished(self) -> bool:
        """Whether the answer is complete and nothing but its end may follow."""
        ...

    def fill_mask(self, mask: TokenMask) -> None:
        """Set the bit of every token that may come next and clear all others; [ceil(vocab / 32)] words."""
        ...

    def accept(self, token: int) -> None:
        """Take the next token."""
        ...

    def forced(self) -> Sequence[int]:
        """Return the tokens that must come next, without accepting them; often none."""
        ...

    def rollback(self, num_tokens: int) -> None:
        """Forget the last tokens accepted: a draft that did not hold."""
        ...


def new_mask(vocab_size: int) -> TokenMask:
    """Return a mask with no token allowed."""
    import numpy as np

    return np.zeros((vocab_size + 31) // 32, np.uint32)


def allows(mask: TokenMask, token: int) -> bool:
    """Whether a mask allows a token."""
    return bool(mask[token // 32] >> (token % 32) & 1)
