"""Checks which folder may include what (DESIGN.md section 4), and what pure code may not do (law 1).

    python3 layering.py [ROOT]      prints each violation as file:line: text, exits 1 if there is one

Reads text, not types: it finds honest mistakes. What it cannot see (a pointer order hidden behind a template, a clock
behind a function of another library) is the simulator's to find.
"""

import pathlib
import re
import sys

PURE = ["common/base", "scheduler/core", "scheduler/order", "worker/core"]

# Folder -> folders of this repository that it may include. Longest match wins; a folder may always include itself.
ALLOWED = {
    "common/base": [],
    "scheduler/core": ["common/base"],
    "scheduler/order": ["common/base"],
    "worker/core": ["common/base"],
    "common/io": ["common/base"],
    "common/rpc": ["common/base"],
    "common/graph": ["common/base"],
    "scheduler/shell": ["common", "scheduler"],
    "worker/store": ["common", "worker/core"],
    "worker/data": ["common", "worker/core", "worker/store"],
    "worker/runner": ["common/base"],
    "worker/exec": ["common", "worker/core", "worker/store", "worker/runner"],
    "worker/shell": ["common", "worker"],
    "cli/client": ["common", "scheduler/order"],  # the pure pass, run when a graph is compiled
    "cli/taskctl": ["common", "cli/client"],
    "tests/sim": ["common/base", "scheduler/core", "scheduler/order", "worker/core"],
    "tests/scenarios": ["common/base", "scheduler/core", "scheduler/order", "worker/core"],
}
FOLDERS = ("common/", "scheduler/", "worker/", "cli/", "tests/")

# Folders that may not see the wire format or gRPC.
NO_WIRE = [*PURE, "common/io", "worker/store", "worker/runner", "tests/sim", "tests/scenarios"]
WIRE = re.compile(r"^(taskd/v1/|google/protobuf|grpc|grpcpp)")

PURE_BANNED_INCLUDES = re.compile(
    r"^(thread|mutex|shared_mutex|atomic|condition_variable|future|semaphore|latch|barrier|stop_token|chrono|ctime"
    r"|time\.h|iostream|fstream|ostream|istream|sstream|syncstream|random|filesystem|unordered_map|unordered_set"
    r"|unistd\.h|fcntl\.h|poll\.h|signal\.h|pthread\.h|csignal|sys/.*|netinet/.*"
    r"|absl/(time|synchronization|random|debugging|log)/.*|spdlog/.*|yaml-cpp/.*|prometheus/.*|CLI/.*|openssl/.*|z.*\.h)$")
# check.cc must print and abort; it does nothing else with the outside.
PURE_INCLUDE_EXCEPTIONS = {("common/base/check.cc", "cstdio")}
PURE_ONLY_EXCEPTED_INCLUDES = re.compile(r"^(cstdio|stdio\.h)$")

PURE_BANNED_TOKENS = [
    (re.compile(r"\bunordered_(multi)?(map|set)\b"), "hash table without a fixed order"),
    (re.compile(r"\bstd::\w+_distribution\b"), "std distributions differ between libraries"),
    (re.compile(r"\bstd::(mt19937(_64)?|default_random_engine|random_device|rand)\b|\brand\("), "use common/base/prng.h"),
    (re.compile(r"\b(steady|system|high_resolution)_clock\b|\bclock_gettime\b|\bgettimeofday\b|\btime\((NULL|nullptr|0)\)"),
     "clocks belong to the shells: time comes as now_ns"),
    (re.compile(r"\bgetenv\b"), "environment"),
    (re.compile(r"\bstd::(thread|jthread|mutex|atomic\w*|lock_guard|unique_lock|async)\b|\bthread_local\b"), "threads"),
    (re.compile(r"\bstd::c(out|err|log|in)\b|\bf?open\(|\bsystem\("), "input and output"),
    (re.compile(r"\b(std::|absl::)?(btree_)?(multi)?(map|set)<\s*(const\s+)?\w[\w:]*\s*\*"), "ordered by pointer"),
    (re.compile(r"\bstd::(less|greater)<\s*(const\s+)?\w[\w:]*\s*\*\s*>"), "ordered by pointer"),
]
FLOAT = re.compile(r"\b(float|double)\b")
FLOAT_EXCEPTIONS = {"common/base/units.cc"}          # formats sizes and times for people

HASH_TYPE = re.compile(r"\babsl::(?:flat|node)_hash_(?:map|set)\s*<")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def blank_comments_and_strings(text):
    """Same length and lines, with comments, strings and character literals as spaces. Include lines stay."""
    out = list(text)

    def blank(start, end):
        for at in range(start, end):
            if out[at] != "\n":
                out[at] = " "

    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"([^ ()\\\t\n]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
    for match in token.finditer(text):
        line_start = text.rfind("\n", 0, match.start()) + 1
        if match.group().startswith('"') and re.match(r"\s*#\s*include\b", text[line_start:match.start()]):
            continue
        blank(match.start(), match.end())
    return "".join(out)


def folder_rule(path):
    """The entry of ALLOWED that holds for a file, or None."""
    fits = [folder for folder in ALLOWED if path.startswith(folder + "/")]
    return max(fits, key=len) if fits else None


def in_any(path, folders):
    return any(path.startswith(folder + "/") for folder in folders)


def check_includes(path, lines):
    own = folder_rule(path)
    pure = in_any(path, PURE)
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(2)
        if own and name.startswith(FOLDERS):
            if not in_any(name, [own, *ALLOWED[own]]):
                yield number, f"{own} may not include {name}"
        if in_any(path, NO_WIRE) and WIRE.match(name):
            yield number, f"no gRPC, no protobuf here: {name}"
        if name == "common/base/mutant.h" and path.endswith(".h"):
            yield number, f"no header may include {name}: only the files that use it are built with defects"
        if pure and PURE_BANNED_INCLUDES.match(name):
            yield number, f"pure code may not include {name}"
        if pure and PURE_ONLY_EXCEPTED_INCLUDES.match(name) and (path, name) not in PURE_INCLUDE_EXCEPTIONS:
            yield number, f"pure code may not include {name}"


def balanced_end(text, start):
    """Index after the '>' that closes the '<' at text[start]."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] == "<":
            depth += 1
        elif text[at] == ">":
            depth -= 1
            if depth == 0:
                return at + 1
    return len(text)


def hash_table_names(text):
    """Names of variables and members declared as hash tables, also through a `using`."""
    names = set()
    for match in HASH_TYPE.finditer(text):
        end = balanced_end(text, match.end() - 1)
        declared = re.match(r"\s*[&*]?\s*(\w+)\s*[;={,)]", text[end:end + 120])
        if declared:
            names.add(declared.group(1))
        alias = re.search(r"\busing\s+(\w+)\s*=\s*(?:const\s+)?$", text[:match.start()])
        if alias:
            names.update(re.findall(rf"\b{alias.group(1)}\s*[&*]?\s+(\w+)\s*[;={{,)]", text))
    return names


def is_local(text, at, name):
    """Whether the plain name at text[at] is a local of another type that hides the table's name."""
    if text[:at].endswith((".", "->")):
        return False
    return re.search(rf"(?:^|[;{{}}(])\s*(?:const\s+)?(?:std::|absl::InlinedVector)[\w:]*<[^;(){{}}]*>\s*[&*]?\s*{name}\s*[=;{{]",
                     text[max(0, at - 2000):at]) is not None


def check_pure_text(path, text, hash_names):
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if INCLUDE.match(line):
            continue
        for pattern, why in PURE_BANNED_TOKENS:
            if pattern.search(line):
                yield number, f"pure code: {why}"
        if path not in FLOAT_EXCEPTIONS and FLOAT.search(line):
            yield number, "pure code: floating point"
    for match in re.finditer(r"\bfor\s*\([^;()]*?:\s*([^;{}]*?)\)\s*[^)]", text):
        last = re.search(r"(\w+)\s*$", match.group(1))
        if last and last.group(1) in hash_names and not is_local(text, match.start(1) + last.start(), last.group(1)):
            yield text.count("\n", 0, match.start()) + 1, f"pure code: iterates the hash table {last.group(1)}"
    for match in re.finditer(r"\b(\w+)(?:\.|->)c?begin\(\)", text):
        if match.group(1) in hash_names and not is_local(text, match.start(), match.group(1)):
            yield text.count("\n", 0, match.start()) + 1, f"pure code: iterates the hash table {match.group(1)}"


def check_state_sizes(text):
    """size_t members of a struct or class: their width is the platform's."""
    scopes = []
    statement = ""
    line = 1
    for char in text:
        if char == "\n":
            line += 1
        if char == "{":
            head = statement.strip()
            is_record = re.search(r"\b(struct|class|union)\b[^;()=]*$", head) and not re.search(r"\benum\b", head)
            scopes.append("record" if is_record else "other")
            statement = ""
        elif char == "}":
            if scopes:
                scopes.pop()
            statement = ""
        elif char == ";":
            if scopes and scopes[-1] == "record" and re.match(
                    r"^\s*(?:(?:public|private|protected)\s*:)?\s*(?:mutable\s+)?(?:std::)?s?size_t\s+\w+\s*(?:=[^()]*)?$",
                    statement):
                yield line, "state: size_t member; name its width"
            statement = ""
        else:
            statement += char


def sources(root):
    for top in ("common", "scheduler", "worker", "cli", "tests"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".h", ".cc"):
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8", errors="replace")


def check_files(files):
    """All violations of {path: text}, as sorted (path, line, text)."""
    blanked = {path: blank_comments_and_strings(text) for path, text in files.items()}
    hash_names = {}
    for path, text in blanked.items():
        for folder in PURE:
            if path.startswith(folder + "/"):
                hash_names.setdefault(folder, set()).update(hash_table_names(text))
    found = []
    for path, text in blanked.items():
        found += [(path, *v) for v in check_includes(path, text.split("\n"))]
        for folder in PURE:
            if path.startswith(folder + "/"):
                found += [(path, *v) for v in check_pure_text(path, text, hash_names[folder])]
        if in_any(path, ["scheduler/core", "worker/core"]):
            found += [(path, *v) for v in check_state_sizes(text)]
    return sorted(set(found))


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files = dict(sources(root))
    if not any(path.startswith("common/base/") for path in files):
        print(f"layering: no sources below {root}", file=sys.stderr)
        return 2
    violations = check_files(files)
    for path, line, text in violations:
        print(f"{path}:{line}: {text}")
    print(f"layering: {len(files)} files, {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
