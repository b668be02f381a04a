"""Prints what `sam deploy` would be told, by samconfig.toml and then by flags, so that other commands need not be told again:

    scripts/sam-tools python scripts/samconfig.py dev stack_name --stack-name chat
    scripts/sam-tools python scripts/samconfig.py dev parameter_overrides        # as JSON
    scripts/sam-tools python scripts/samconfig.py --changed before.toml          # the environments that are not as they were there
"""

import json
import os
import sys

import tomlkit
from samcli.cli.types import CfnParameterOverridesType



def read(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return tomlkit.parse(file.read()).unwrap()


env, key, *flags = sys.argv[1:]
environments = read("samconfig.toml")
if env == "--changed":
    before = read(key)
    print("\n".join(name for name, one in environments.items() if isinstance(one, dict) and one != before.get(name)))
    sys.exit()

value = None
for section in ("global", "deploy"):
    value = environments.get(env, {}).get(section, {}).get("parameters", {}).get(key, value)

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
