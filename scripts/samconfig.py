"""Prints what `sam deploy` would be told, by samconfig.toml and then by flags, so that other commands need not be told again:

    scripts/sam-tools python scripts/samconfig.py dev stack_name --stack-name chat
    scripts/sam-tools python scripts/samconfig.py dev parameter_overrides        # as JSON
"""

import json
import os
import sys

import tomlkit
from samcli.cli.types import CfnParameterOverridesType

env, key, *flags = sys.argv[1:]
value = None
if os.path.exists("samconfig.toml"):
    with open("samconfig.toml", encoding="utf-8") as file:
        sections = tomlkit.parse(file.read()).unwrap().get(env, {})
    for section in (sections.get("global", {}), sections.get("deploy", {})):
        value = section.get("parameters", {}).get(key, value)

name = "--" + key.replace("_", "-")
for i, flag in enumerate(flags):
    if flag == name:
        rest = flags[i + 1 :]
        end = next((n for n, f in enumerate(rest) if f.startswith("--")), len(rest))
        value = rest[:end] if key == "parameter_overrides" else rest[0]
    elif flag.startswith(name + "="):
        value = flag.removeprefix(name + "=")

if key == "parameter_overrides":
    overrides = {}
    for one in [value] if isinstance(value, str) else value or []:
        overrides.update(CfnParameterOverridesType().convert((one,), None, None))
    print(json.dumps(overrides))
elif value is not None:
    print(value)
