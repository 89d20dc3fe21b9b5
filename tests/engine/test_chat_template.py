from __future__ import annotations

from typing import Any

import pytest

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
    {%- if message.role == 'skip' %}{% continue %}{% endif %}
    {%- if loop.index > 3 %}{% break %}{% endif %}
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
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "2"},
        {"role": "skip", "content": "x"},
        {"role": "user", "content": "3"},
    ],
]
WEATHER = {"name": "weather", "description": "Say \u00e9 <now>", "parameters": {"city": "string"}}


@pytest.mark.parametrize("source", [CHATML, SMOLLM2, LOOPS, TOOLS])
@pytest.mark.parametrize("messages", CONVERSATIONS)
@pytest.mark.parametrize("add_generation_prompt", [True, False])
def test_equals_transformers(
    source: str, messages: list[dict[str, Any]], add_generation_prompt: bool
) -> None:
    render = pytest.importorskip("transformers.utils.chat_template_utils").render_jinja_template
    tools = [WEATHER] if source is TOOLS else None
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    expected, _ = render(
        conversations=[messages],
        tools=tools,
        chat_template=source,
        add_generation_prompt=add_generation_prompt,
        **special,
    )
    template = ChatTemplate(source, special)
    assert template.render(messages, tools=tools, add_generation_prompt=add_generation_prompt) == expected[0]


def test_template_that_does_not_parse_is_refused() -> None:
    with pytest.raises(ValueError, match="does not parse"):
        ChatTemplate("{% for %}")


def test_refusal_of_the_template_reaches_the_user() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(ValueError, match="roles must alternate"):
        template.render([{"role": "user", "content": "hi"}])


def test_tools_a_template_ignores_are_refused() -> None:
    with pytest.raises(ValueError, match="ignores tools"):
        ChatTemplate(CHATML).render([{"role": "user", "content": "hi"}], tools=[WEATHER])


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
    ],
)
def test_a_hostile_template_stays_in_its_sandbox(attack: str) -> None:
    with pytest.raises(ValueError, match="cannot show"):
        ChatTemplate(attack).render([{"role": "user", "content": "hi"}])
