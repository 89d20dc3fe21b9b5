# ruff: noqa: E501  (templates are as their models have them)
"""Chat templates after those of known models: what they do with messages, tools and variables."""

LLAMA3 = """{{- bos_token }}{%- if messages[0]['role'] == 'system' %}
{%- set system_message = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}{%- if tools is not none %}
{{- "Functions: " }}{%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\n\n" }}{%- endfor %}{%- endif %}
{{- system_message }}{{- "<|eot_id|>" }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"""
QWEN3 = """{%- set ns = namespace(last_query=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' and loop.first %}{%- set ns.last_query = messages | length - 1 - loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'assistant' %}
        {%- set content = message.content %}{%- set reasoning = '' %}
        {%- if '</think>' in message.content %}
            {%- set content = message.content.split('</think>')[-1].lstrip('\n') %}
            {%- set reasoning = message.content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\n' }}
        {%- if loop.index0 > ns.last_query %}
            {{- '<think>\n' + reasoning.strip('\n') + '\n</think>\n\n' }}
        {%- endif %}
        {{- content.lstrip('\n') + '<|im_end|>\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}
{%- endif %}"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}
{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}
{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}
{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}
{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"""
PHI3 = """{% for message in messages %}{% if message['role'] in ['system', 'user', 'assistant'] %}
{{'<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}
{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"""
TYPES = """{%- macro type_of(spec) %}
    {%- if spec.type is string %}{{- spec.type }}
    {%- elif spec.type is iterable %}{{- spec.type | join(' | ') }}
    {%- else %}{{- 'any' }}{%- endif %}
{%- endmacro %}
{%- macro fields(properties, required=[]) %}
    {%- for name, spec in properties | dictsort %}
        {{- name ~ ('' if name in required else '?') ~ ': ' ~ type_of(spec) }}{{- ', ' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
{%- for tool in tools or [] %}
    {%- set tool = tool.function if tool.function is defined else tool %}
    {{- '%s(%s) # %s\n' % (tool.name, fields(tool.parameters.properties, tool.parameters.required), tool.description) }}
{%- endfor %}
{%- for m in messages | rejectattr('role', 'equalto', 'nobody') %}
    {%- if m.content is string %}{{- '[' ~ m.role | upper ~ '] ' ~ m.content | replace('\n', ' ') | indent(2) ~ '\n' }}
    {%- else %}{{- m.content | selectattr('type', 'equalto', 'text') | map(attribute='text') | join('\n') }}{%- endif %}
    {%- for call in m.tool_calls or [] %}{{- call.function.name ~ call.function.arguments | tojson }}{%- endfor %}
{%- endfor %}
{%- for n in range(2) %}{{- n ** 2 * 3 % 2 }}{%- endfor %}
{%- if messages[-1]['content'] == messages[0].content and messages | length in [1, 2] %}{{- 'same' }}{%- endif %}"""
ALL = {"llama3": LLAMA3, "qwen3": QWEN3, "gemma": GEMMA, "phi3": PHI3, "types": TYPES}
