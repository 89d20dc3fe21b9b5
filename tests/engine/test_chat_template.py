from __future__ import annotations

import re
from typing import Any

import pytest
from jinja2 import TemplateError

from chat_templates import ALL, LLAMA3, PHI3, QWEN3, TYPES
from phonelm.engine.chat_input import ChatInput
from phonelm.engine.chat_template import CHATML, ChatTemplate

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LOOPS = """{{ bos_token }}
{%- for message in messages %}
    {%- if message.role == 'aside' %}({{ message.content }}){% continue %}{% endif %}
    {%- if loop.index > 4 %}{% break %}{% endif %}
    [{{ message['role'] }}] {{ message.content | trim }}{{ eos_token }}
{%- endfor %}
{% if add_generation_prompt %}
    {% generation %}[assistant]{% endgeneration %}
{% endif %}
"""
TOOLS = """{% if tools %}tools: {{ tools | tojson }} / {{ tools | tojson(indent=2) }}
{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}"""
CONVERSATIONS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "hi"}],
    [{"role": "system", "content": "Be brief. \u00e9\u4e16 <b>&'\""}, {"role": "user", "content": "a\nb "}],
    [
        {"role": "user", "content": "why"},
        {"role": "assistant", "content": "<think>\nbecause\n</think>\n\nso"},
    ],
    [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "aside", "content": "x"},
        {"role": "user", "content": "3"},
    ],
]
WEATHER = {
    "name": "weather",
    "description": "Say \u00e9 <now>",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "day": {"type": ["string", "null"]}},
    },
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
HI = [{"role": "user", "content": "hi"}]
WITH_TOOLS = (TOOLS, LLAMA3, TYPES)


@pytest.mark.parametrize("source", [CHATML, SMOLLM2, LOOPS, TOOLS, *ALL.values()])
@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_equals_transformers(
    source: str, messages: list[dict[str, Any]], add_generation_prompt: bool
) -> None:
    render = pytest.importorskip("transformers.utils.chat_template_utils").render_jinja_template
    tools = [WEATHER] if source in WITH_TOOLS else None
    given = {"tools": tools, "add_generation_prompt": add_generation_prompt}
    template = ChatTemplate(source, SPECIAL)
    chat = ChatInput.of(messages, tools, add_generation_prompt, {})
    try:
        expected, _ = render(conversations=[messages], chat_template=source, **given, **SPECIAL)
    except TemplateError as refusal:
        with pytest.raises(ValueError, match=re.escape(str(refusal))):
            template.render_unchecked(chat)
    else:
        assert template.render_unchecked(chat) == expected[0]


def test_template_that_does_not_parse_is_refused() -> None:
    with pytest.raises(ValueError, match="does not parse"):
        ChatTemplate("{% for %}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
        "{% for i in [1] %}" * 30 + "{% endfor %}" * 30,
        "{% if 1 %}" * 150 + "{% endif %}" * 150,
        "{{ " + "9" * 10000 + " }}",
        "{{ messages | no_filter }}",
        " " * 2**18 + "x",
    ],
)
def test_template_that_python_does_not_compile_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="does not parse") as caught:
        ChatTemplate(source)
    assert "\n" not in str(caught.value)


def test_refusal_of_the_template_reaches_the_user() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(ValueError, match="roles must alternate"):
        template.render(HI)


def test_tools_a_template_ignores_are_refused() -> None:
    with pytest.raises(ValueError, match="ignores tools"):
        ChatTemplate(CHATML).render(HI, tools=[WEATHER])


@pytest.mark.parametrize("messages", [[], ["hi"], [{"content": "hi"}], [{"role": "user", "content": None}]])
def test_malformed_messages_are_refused(messages: Any) -> None:
    with pytest.raises(ValueError, match=r"message"):
        ChatTemplate(CHATML).render(messages)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.getcwd() }}",
        "{% for i in range(10 ** 9) %}x{% endfor %}",
        "{{ namespace(__class__=1) }}",
        "{{ lipsum() }}",
    ],
)
def test_a_hostile_template_stays_in_its_sandbox(attack: str) -> None:
    with pytest.raises(ValueError, match="cannot show"):
        ChatTemplate(attack).render(HI)


UNGUARDED = "{% for t in tools %}[{{ t.name }}]{% endfor %}{% for m in messages %}{{ m.content }}{% endfor %}"


def test_a_template_that_does_not_ask_for_tools_is_rendered_with_and_without() -> None:
    assert ChatTemplate(UNGUARDED).render(HI, tools=[WEATHER]) == "[weather]hi"
    assert ChatTemplate(UNGUARDED).render(HI) == "hi"
    needs = ChatTemplate("{{ tools[0].name.upper() }}{{ messages[0].content }}")
    assert needs.render(HI, tools=[WEATHER]) == "WEATHERhi"


def test_named_templates_are_taken_for_their_purpose() -> None:
    show = "{{ messages[0].content }}{{ tools | tojson if tools }}{{ documents | tojson if documents }}"
    template = ChatTemplate({name: f"{name}:{show}" for name in ("default", "tool_use", "rag")})
    assert template.render(HI) == "default:hi"
    assert template.render(HI, tools=[WEATHER]).startswith("tool_use:hi[")
    assert template.render(HI, documents=[{"text": "d"}]) == 'rag:hi[{"text": "d"}]'
    only = ChatTemplate({"tool_use": "{{ tools[0].name }}{{ messages[0].content }}"})
    assert only.render(HI, tools=[WEATHER]) == "weatherhi"
    with pytest.raises(ValueError, match="it is one for tool_use only"):
        only.render(HI)


@pytest.mark.parametrize("value", [True, False])
def test_variables_equal_transformers(value: bool) -> None:
    render = pytest.importorskip("transformers.utils.chat_template_utils").render_jinja_template
    expected, _ = render([HI], chat_template=QWEN3, add_generation_prompt=True, enable_thinking=value)
    template = ChatTemplate(QWEN3)
    assert template.render(HI, enable_thinking=value) == expected[0]
    assert template.render(HI, chat_template_kwargs={"enable_thinking": value}) == expected[0]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"enable_thinkin": 1}, r"no variable enable_thinkin; it has: .*enable_thinking"),
        ({"chat_template_kwargs": {"tools": []}}, "tools is no variable"),
        ({"chat_template_kwargs": "{}"}, "chat_template_kwargs is no dict"),
        ({"enable_thinking": object()}, "enable_thinking holds a value of type object"),
    ],
)
def test_variables_that_would_do_nothing_are_refused(variables: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChatTemplate(QWEN3).render(HI, **variables)


TURNS = (
    "{% for m in messages %}{% if m.role in ('user', 'assistant') %}<{{ m.content }}>{% endif %}{% endfor %}"
)
PARTS = (
    "{% for m in messages %}{% for p in m.content %}{{ p.text if p.type == 'text' }}{% endfor %}{% endfor %}"
)
CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Bonn"}}}


@pytest.mark.parametrize(
    ("source", "messages", "unseen"),
    [
        (TURNS, [{"role": "system", "content": "Be brief."}, *HI], "message 0 (role 'system')"),
        # Another message has the same text.
        (TURNS, [*HI, {"role": "tool", "content": "hi"}], "message 1 (role 'tool')"),
        (
            TURNS,
            [*HI, {"role": "assistant", "content": "", "tool_calls": [CALL]}],
            "the tool calls of message 1",
        ),
        ("{{ messages[-1].content }}", [HI[0], {"role": "assistant", "content": "a"}], "message 0"),
        ("{{ messages[0].role }}", HI, "message 0"),
        (
            PARTS,
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}],
            "part 1 of",
        ),
        (PHI3, [{"role": "tool", "content": "sunny"}], "message 0 (role 'tool')"),
    ],
)
def test_what_a_template_does_not_show_is_refused(source: str, messages: Any, unseen: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"does not show {unseen}")):
        ChatTemplate(source).render(messages)


@pytest.mark.parametrize(
    ("source", "messages", "text"),
    [
        ("{{ messages[0].content | upper }}", HI, "HI"),
        ("{{ messages[0].content[:1] }}", HI, "h"),
        ("{{ messages[0].content | length }}", HI, "2"),
        ("{{ messages[0].content or 'nothing' }}", [{"role": "user", "content": " "}], " "),
        # The template's own instruction, given by the user.
        (
            "{{ messages[0].content if messages | length > 1 else 'Help.' }}",
            [*HI, {"role": "tool", "content": ""}],
            "hi",
        ),
        (
            "{% if messages[0].content not in ('hi', 'ho') %}{{ raise_exception('no') }}{% endif %}ok",
            HI,
            "ok",
        ),
        (QWEN3, [{"role": "assistant", "content": "<think>r</think>"}, *HI], None),
    ],
)
def test_what_a_template_shows_in_another_form_is_taken(source: str, messages: Any, text: str | None) -> None:
    seen = ChatTemplate(source).render(messages)
    assert text is None or seen == text
