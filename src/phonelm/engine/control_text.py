"""Keeps what others wrote apart from a chat template's control tokens.

A message may spell `<|im_end|>`. The template prints its own token and the spelling alike, and only the
first may become the token: else whoever writes a message could end it and begin one of another role. The
text of the prompt stays as it is; what is found here is which of its characters may be part of a token.

1. The conversation is rendered again with private characters for the letters and signs of its texts. Where
   these show in the result, and nothing else differs, stand the texts of others.
2. Where more differs, the template reads the texts. Then there is a private character only in each spelling.
3. Where more differs still, it looks for a spelling (`content.split('</think>')`). Then the spellings stay,
   with marks around them, and what is still between two marks is the text of others.
4. Where the result without marks differs too, the two cannot be told apart: then no token that is spelled, in
   whole or in pieces, anywhere in the conversation is one in the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from phonelm.engine.chat_input import ChatInput, Render

Spans = list[tuple[int, int]]
"""Begins and ends of ranges of characters, sorted and disjoint."""

# Private characters (Unicode, section 23.5). A user who writes one makes no token of it.
_HIDDEN, _OPEN, _CLOSE = "\U00100000", "\U00100001", "\U00100002"
_HIDDEN_IN_JSON = "\\udbc0\\udc00"


class ControlTexts:
    """The texts of a vocabulary's control tokens, and where they or pieces of them stand in a string."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(texts)
        lengths: dict[str, set[int]] = {}
        for text in self._texts:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._first = _any_of(lengths)
        self._beginnings = frozenset(text[:end] for text in self._texts for end in range(1, len(text)))
        self._endings = frozenset(text[begin:] for text in self._texts for begin in range(1, len(text)))
        self._all = "\0".join(self._texts)
        self._longest = max(map(len, self._texts), default=0)
        # A template may change the case. JSON has other characters for quotes and backslashes.
        signs = {sign for text in self._texts for sign in text + text.lower() + text.upper()}
        self.signs = _any_of(sign for sign in signs if not sign.isspace() and sign not in '"\\')

    def spelled(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where control tokens are spelled, the longest at each place; they may overlap."""
        for match in self._first.finditer(text):
            begin = match.start()
            for length in self._lengths[text[begin]]:
                if begin + length <= len(text) and text[begin : begin + length] in self._texts:
                    yield begin, begin + length
                    break

    def pieces(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield what could become a token together with what is printed before or behind the text.

        A template may print the text without the space around it.
        """
        first, last = len(text) - len(text.lstrip()), len(text.rstrip())
        for length in range(1, min(len(text), self._longest) + 1):
            for begin in {0, first}:
                if text[begin : begin + length] in self._endings:
                    yield begin, begin + length
            for end in {last, len(text)}:
                if text[max(0, end - length) : end] in self._beginnings:
                    yield max(0, end - length), end
        for begin, end in {(0, len(text)), (first, len(text)), (0, last), (first, last)}:
            if 0 < end - begin < self._longest and text[begin:end] in self._all:
                yield begin, end


def plain_spans(controls: ControlTexts, chat: ChatInput, text: str, render: Render) -> Spans:
    """Return where in `text`, which is what `render` makes of `chat`, no control token may be."""
    marking = _Marking(controls)
    for change in (marking.covered, marking.hidden):
        changed = chat.with_texts(change)
        if changed == chat:
            return []
        # As `tojson(ensure_ascii=true)` writes them.
        hidden = _attempt(render, changed).replace(_HIDDEN_IN_JSON, _HIDDEN)
        spans = [match.span() for match in re.finditer(f"{_HIDDEN}+", hidden)]
        if _agree(hidden, text, spans):
            return spans
    marked = _attempt(render, chat.with_texts(marking.bracketed))
    without, spans = marking.between_brackets(marked)
    if without == text:
        return spans
    return _merged(span for span in controls.spelled(text) if marking.may_be_of_others(text[slice(*span)]))


def to_bytes(text: str, spans: Spans) -> Spans:
    """Return ranges of characters as ranges of bytes in UTF-8 (a lone surrogate has three)."""
    converted, at, num_bytes = [], 0, 0
    for begin, end in spans:
        first = num_bytes + _num_bytes(text[at:begin])
        at, num_bytes = end, first + _num_bytes(text[begin:end])
        converted.append((first, num_bytes))
    return converted


class _Marking:
    """Changes the strings of a conversation so that they are found again in its rendering."""

    def __init__(self, controls: ControlTexts) -> None:
        self._controls = controls
        self._longest = 0
        self._found: set[str] = set()

    def covered(self, text: str, is_name: bool) -> str:
        """Return `text` with private characters for all of which a control token could be made."""
        return self.hidden(text, True) if is_name else self._controls.signs.sub(_HIDDEN, text)

    def hidden(self, text: str, is_name: bool) -> str:
        """Return `text` with a private character in each control token, and in pieces of one at its ends."""
        spelled = list(self._controls.spelled(text))
        # Templates compare names, and make tokens of them: '<|' + role + '|>'.
        pieces = [] if is_name else list(self._controls.pieces(text))
        self._found |= {text[begin:end] for begin, end in [*spelled, *pieces]}
        # One is enough, and a template that looks at the first or the last finds it.
        middles = [((begin + end) // 2, (begin + end) // 2 + 1) for begin, end in spelled]
        return _rewritten(text, _merged([*middles, *pieces]), lambda piece: _HIDDEN * len(piece))

    def bracketed(self, text: str, is_name: bool) -> str:
        """Return `text` with marks around each control token, and around the space next to it.

        A template that cuts there strips the space.
        """
        pieces = [] if is_name else self._controls.pieces(text)
        spans: Spans = []
        for begin, end in sorted([*self._controls.spelled(text), *pieces]):
            done = spans[-1][1] if spans else 0
            if begin >= done:
                spans.append((max(done, len(text[:begin].rstrip())), len(text) - len(text[end:].lstrip())))
        self._longest = max([self._longest, *(end - begin for begin, end in spans)])
        return _rewritten(text, spans, lambda piece: f"{_OPEN}{piece}{_CLOSE}")

    def may_be_of_others(self, control: str) -> bool:
        """Return whether a control token, or a piece of it, was found in what `hidden` was given."""
        return any(piece in control for piece in self._found)

    def between_brackets(self, text: str) -> tuple[str, Spans]:
        """Return `text` without marks, and what is between two of them.

        A mark without the other is left of a spelling that the template has cut.
        """
        pieces: list[str] = []
        spans: Spans = []
        length, begin = 0, None
        for piece in re.split(f"([{_OPEN}{_CLOSE}])", text):
            if piece == _OPEN:
                begin = length
            elif piece == _CLOSE:
                if begin is not None and length - begin <= self._longest:
                    spans.append((begin, length))
                begin = None
            else:
                pieces.append(piece)
                length += len(piece)
        return "".join(pieces), _merged(spans)


def _any_of(characters: Iterable[str]) -> re.Pattern[str]:
    escaped = "".join(map(re.escape, sorted(characters)))
    return re.compile(f"[{escaped}]" if escaped else "(?!)")


def _rewritten(text: str, spans: Spans, change: Callable[[str], str]) -> str:
    pieces, done = [], 0
    for begin, end in spans:
        pieces += [text[done:begin], change(text[begin:end])]
        done = end
    return "".join([*pieces, text[done:]])


def _attempt(render: Render, chat: ChatInput) -> str:
    try:
        return render(chat)
    except ValueError:
        return ""


def _agree(hidden: str, text: str, spans: Spans) -> bool:
    """Return whether two texts of the same length differ in the spans only."""
    between = zip([0, *(end for _, end in spans)], [*(begin for begin, _ in spans), len(text)], strict=True)
    return len(hidden) == len(text) and all(hidden[begin:end] == text[begin:end] for begin, end in between)


def _merged(spans: Iterable[tuple[int, int]]) -> Spans:
    merged: Spans = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        elif begin < end:
            merged.append((begin, end))
    return merged


def _num_bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
