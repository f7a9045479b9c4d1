"""Which files of a target can be compiled as one: prints a line of names, separated by ';', for each batch.

    python3 unity.py MOST FOLDER FILE...

Files go together unless one of them uses a name that another one declares for itself alone: in a namespace without a
name, static, or as an alias. Reads text, not types. What it overlooks does not compile, and is then built file by file:
see tests/run.
"""

import pathlib
import re
import sys

NOT_CODE = re.compile(r'//[^\n]*|/\*.*?\*/|R"([^ ()\\\n]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\''
                      r"|^[ \t]*#[^\n]*", re.S | re.M)
NAME = re.compile(r"[A-Za-z_]\w*")
# The name that a declaration without its templates' arguments declares, as far as it goes before its body or value.
TYPE = re.compile(r"^(?:template\b.*?)?\b(?:class|struct|union|enum(?:\s+class)?)\s+(\w+)\s*(?:final\s*)?(?::[^:]|$)")
ALIAS = re.compile(r"^(?:using|namespace)\s+(\w+)\s*=")
OTHER = re.compile(r"(\w+)\s*(?:\[[^\]]*\]\s*)*(?:\(|=|$)")
# A program may be linked with another object of such a file than that of its library: tests/sim/CMakeLists.txt.
ALONE = "TASKD_MUTANT("
FURTHER = re.compile(r",\s*(\w+)\s*=")


def code(text):
    return NOT_CODE.sub(" ", text)


def declarations(text):
    """What stands outside of all braces but those of namespaces: (inside a nameless one, text)."""
    scopes = []  # None: a body; else whether the namespace has a name
    head = ""
    for char in text:
        if char == "{":
            named = re.match(r"\s*(?:inline\s+)?namespace(?:\s+([\w:]+))?\s*$", head)
            if None not in scopes and not named:
                yield False in scopes, head.strip()
            scopes.append(bool(named.group(1)) if named else None)
            head = ""
        elif char == "}":
            if scopes:
                scopes.pop()
            head = ""
        elif None in scopes:
            continue
        elif char == ";":
            yield False in scopes, head.strip()
            head = ""
        else:
            head += char


def own_names(text):
    """Names that nothing outside of the file is meant to know; to what they are an alias of, else None."""
    names = {}
    for alone, head in declarations(text):
        if not head or head.startswith(("TEST", "INSTANTIATE", "BENCHMARK", "static_assert")):
            continue
        alias = ALIAS.match(head)
        if alias:
            names[alias.group(1)] = " ".join(head.split())
            continue
        if not alone and not re.match(r"(?:inline\s+|constexpr\s+)*static\b|constexpr\b|const\b", head):
            continue
        kind = TYPE.match(head)
        if kind:
            names[kind.group(1)] = None
            continue
        while re.search(r"<[^<>()]*>", head):
            head = re.sub(r"<[^<>()]*>", " ", head)
        other = OTHER.search(head)
        if other and not head[:other.start()].endswith("::"):
            names.update(dict.fromkeys([other.group(1), *FURTHER.findall(head)]))
    names.pop("operator", None)
    return names


def clash(own, used, other_own):
    """Whether files that use these names would see another file's own ones."""
    return any(own[name] is None or own[name] != other_own.get(name) for name in own.keys() & used)


def batches(files, most):
    """Lists of at most `most` of the files (name -> text), in their order."""
    out, alone = [], []
    for name, text in files.items():
        text = code(text)
        if ALONE in text:
            alone.append([name])
            continue
        own, used = own_names(text), set(NAME.findall(text))
        for batch in out:
            if len(batch["files"]) < most and not clash(batch["own"], used, own) and not clash(
                    own, batch["used"], batch["own"]):
                break
        else:
            batch = {"files": [], "own": {}, "used": set()}
            out.append(batch)
        batch["files"].append(name)
        batch["own"] |= own
        batch["used"] |= used
    return [batch["files"] for batch in out] + alone


def main():
    most, folder, names = int(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
    for batch in batches({name: (folder / name).read_text() for name in names}, most):
        print(";".join(batch))


if __name__ == "__main__":
    main()
